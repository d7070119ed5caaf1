/** The options of install and uninstall, and which of them become settings of the services. */
import { resolve } from 'node:path';
import type { Argv } from 'yargs';
import { type CommonArguments, refuseOdd } from '../options.ts';

interface PlaceArguments extends CommonArguments {
  /** []: all. */
  readonly project: readonly string[];
  /** undefined: this host, as it runs. */
  readonly root: string | undefined;
}

export interface UninstallArguments extends PlaceArguments {
  readonly purge: boolean;
}

export interface InstallArguments extends PlaceArguments {
  readonly print: boolean;
  readonly start: boolean;
  readonly etcd: string | undefined;
  readonly etcdPrefix: string | undefined;
  readonly etcdCa: string | undefined;
  readonly etcdCert: string | undefined;
  readonly etcdKey: string | undefined;
  readonly etcdUser: string | undefined;
  readonly etcdPasswordFile: string | undefined;
}

const place = {
  root: {
    type: 'string',
    description: 'Write and enable in the file system below this folder, as for an image; start nothing',
    requiresArg: true,
  },
} as const;

const install = {
  print: { type: 'boolean', default: false, description: 'Print the units and change nothing' },
  start: { type: 'boolean', default: true, description: 'Start them now; --no-start only enables' },
} as const;

const uninstall = {
  purge: {
    type: 'boolean',
    default: false,
    description: 'End the proxy too, if it carries nothing, and take its rules out of the kernel',
  },
} as const;

/** Without defaults: what is not given stays as the settings have it. */
const etcd = {
  etcd: { type: 'string', description: 'Addresses of etcd members, for the agents', requiresArg: true },
  'etcd-prefix': { type: 'string', description: 'What all keys in etcd begin with', requiresArg: true },
  'etcd-ca': { type: 'string', description: 'PEM file: who may certify etcd', requiresArg: true },
  'etcd-cert': { type: 'string', description: 'PEM file: certificate for etcd', requiresArg: true },
  'etcd-key': { type: 'string', description: 'PEM file: key of that certificate', requiresArg: true },
  'etcd-user': { type: 'string', description: 'User of etcd', requiresArg: true },
  'etcd-password-file': { type: 'string', description: 'File with the password', requiresArg: true },
} as const;

/** In the order in which they are written. */
const SETTINGS = [
  'GANTRYD_STATE_DIR',
  'DOCKER_HOST',
  ...['GANTRYD_ETCD', 'GANTRYD_ETCD_PREFIX', 'GANTRYD_ETCD_CA', 'GANTRYD_ETCD_CERT', 'GANTRYD_ETCD_KEY'],
  ...['GANTRYD_ETCD_USER', 'GANTRYD_ETCD_PASSWORD_FILE'],
];
const PATHS = /_(DIR|CA|CERT|KEY|FILE)$/;

/** For "did you mean". */
export const INSTALL_OPTION_NAMES: readonly string[] = [place, install, uninstall].flatMap((group) =>
  Object.keys(group),
);

export function withInstall<T>(parser: Argv<T>): Argv<InstallArguments> {
  return projects(parser)
    .options(install)
    .options(etcd)
    .check(single(...Object.keys(etcd))) as unknown as Argv<InstallArguments>;
}

export function withUninstall<T>(parser: Argv<T>): Argv<UninstallArguments> {
  return projects(parser).options(uninstall) as unknown as Argv<UninstallArguments>;
}

/** The settings that the options give. */
export function settingsOf(args: InstallArguments): Readonly<Record<string, string>> {
  return settingsFrom({
    GANTRYD_STATE_DIR: args.stateDir,
    DOCKER_HOST: args.docker,
    GANTRYD_ETCD: args.etcd,
    GANTRYD_ETCD_PREFIX: args.etcdPrefix,
    GANTRYD_ETCD_CA: args.etcdCa,
    GANTRYD_ETCD_CERT: args.etcdCert,
    GANTRYD_ETCD_KEY: args.etcdKey,
    GANTRYD_ETCD_USER: args.etcdUser,
    GANTRYD_ETCD_PASSWORD_FILE: args.etcdPasswordFile,
  });
}

/** Those of `values` that are settings and not empty; a path is made absolute, for services run elsewhere. */
export function settingsFrom(
  values: Readonly<Record<string, string | undefined>>,
): Readonly<Record<string, string>> {
  const set = SETTINGS.map((name): readonly [string, string] => [name, values[name] ?? '']);
  const all = set.filter(([, value]) => value !== '');
  return Object.fromEntries(all.map(([name, value]) => [name, PATHS.test(name) ? resolve(value) : value]));
}

function projects<T>(parser: Argv<T>) {
  return parser
    .positional('project', {
      type: 'string',
      array: true,
      default: [] as string[],
      description: 'Names of projects whose agents this host is to run',
    })
    .options(place)
    .check(single('root'));
}

function single(...names: readonly string[]) {
  return (args: Readonly<Record<string, unknown>>) => {
    for (const name of names) refuseOdd(name, args[name]);
    return true;
  };
}
