/** In the place of modules that nothing of gantryd calls. */
module.exports = {};
