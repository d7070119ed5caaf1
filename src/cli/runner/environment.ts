/** What of its starter's surroundings a runner needs, and when another command's are not the same to it. Pure. */

export type Environment = Readonly<Record<string, string | undefined>>;

/** To find the engine, registries, and its folders. */
const MEANT = /^(HOME|TZ|XDG_.*|DOCKER_.*|GANTRYD_SECRETS_DIR|NODE_EXTRA_CA_CERTS|(https?|all|no)_proxy)$/i;
/** Differ from one shell to the next, and change nothing that it does. */
const ALSO_KEPT = /^(PATH|LANG|TMPDIR)$/;
/** Of one login, not of the box: no engine, registry or folder of gantryd is found by them. */
const OF_A_LOGIN = /^XDG_(SESSION_.*|RUNTIME_DIR|SEAT|VTNR|CURRENT_DESKTOP|DATA_DIRS|CONFIG_DIRS)$/;

export function environmentOfRunner(env: Environment): Record<string, string | undefined> {
  return Object.fromEntries(Object.entries(env).filter(([name]) => MEANT.test(name) || ALSO_KEPT.test(name)));
}

/** The first variable that would have it do something else; undefined: none. */
export function differingVariable(a: Environment, b: Environment): string | undefined {
  const names = new Set([...Object.keys(a), ...Object.keys(b)]);
  return [...names].find((name) => MEANT.test(name) && !OF_A_LOGIN.test(name) && a[name] !== b[name]);
}
