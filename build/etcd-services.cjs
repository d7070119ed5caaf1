/**
 * In the place of @grpc/proto-loader, which parses etcd3's .proto files and describes each of their messages with
 * every start. Here they come parsed, and only the calls are described, as etcd3 asks for them.
 */
const { Root, Service } = require('protobufjs/light');
const parsed = require('etcd-protocol');

exports.loadSync = (_file, options) => {
  const root = Root.fromJSON(parsed).resolveAll();
  const services = root.lookup(PACKAGE).nestedArray.filter((found) => found instanceof Service);
  return Object.fromEntries(services.map((service) => [nameOf(service), callsOf(service, options)]));
};

const PACKAGE = 'etcdserverpb';

function callsOf(service, options) {
  const call = (method) => ({
    path: `/${nameOf(service)}/${method.name}`,
    originalName: method.name.replace(/^./, (first) => first.toLowerCase()),
    requestStream: method.requestStream === true,
    responseStream: method.responseStream === true,
    requestSerialize: written(method.resolvedRequestType),
    requestDeserialize: read(method.resolvedRequestType, options),
    responseSerialize: written(method.resolvedResponseType),
    responseDeserialize: read(method.resolvedResponseType, options),
  });
  return Object.fromEntries(service.methodsArray.map((method) => [method.name, call(method)]));
}

function written(type) {
  return (message) => type.encode(type.fromObject(message)).finish();
}

function read(type, options) {
  return (bytes) => type.toObject(type.decode(bytes), options);
}

function nameOf(service) {
  return `${PACKAGE}.${service.name}`;
}
