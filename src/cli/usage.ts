/** What is wrong with a command line, in the words of who typed it: yargs' own are for programmers. Pure. */
import { suggest } from '../config/suggest.ts';
import { GantryError } from '../errors.ts';
import { SECRET_OPTION_NAMES } from './access/secret-options.ts';
import { TOKEN_OPTION_NAMES } from './access/token-options.ts';
import { API_OPTION_NAMES } from './api/options.ts';
import { DRAINS_OPTION_NAMES } from './fleet/drains-options.ts';
import { EXEC_OPTION_NAMES } from './fleet/exec-options.ts';
import { FLEET_OPTION_NAMES } from './fleet/options.ts';
import { INSTALL_OPTION_NAMES } from './install/install-options.ts';
import { JOB_OPTION_NAMES } from './jobs/options.ts';
import { localActions, OPTION_NAMES } from './options.ts';

export type Program = 'gantry' | 'gantryd';

/** What each command of gantryd looks like when it is complete. */
const EXAMPLES: Readonly<Record<string, string>> = {
  local: 'local update shop.yaml web',
  proxy: 'proxy status',
  drains: 'drains --all',
  setconfig: 'setconfig shop shop.yaml',
  getconfig: 'getconfig shop',
  update: 'update shop -c web',
  rollback: 'rollback shop -c web',
  scale: 'scale shop web=3',
  run: 'run shop',
  list: 'list shop',
  stop: 'stop shop -c web',
  kill: 'kill shop -c web',
  history: 'history shop -c web',
  events: 'events shop -f',
  logs: 'logs shop -c web -f',
  exec: 'exec shop -c web -- ls',
  why: 'why shop -c web',
  rollout: 'rollout status shop -c web',
  install: 'install shop',
  uninstall: 'uninstall shop',
  job: 'job run --image alpine --command date',
  cron: 'cron list',
  secret: 'secret set shop db-password',
  api: 'api --api 127.0.0.1:7070',
  token: 'token create ci --role deploy',
};

/** What each of the commands that have commands looks like when it is complete. */
const NESTED: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  job: {
    run: 'job run --image alpine --command date',
    submit: 'job submit job.yaml',
    list: 'job list --all',
    show: 'job show ID',
    log: 'job log ID -f',
    output: 'job output ID',
    cancel: 'job cancel ID',
    rm: 'job rm ID',
    prune: 'job prune',
  },
  cron: {
    push: 'cron push docket.yml',
    list: 'cron list',
    get: 'cron get NAME',
    delete: 'cron delete NAME',
    run: 'cron run NAME',
    suspend: 'cron suspend NAME',
    resume: 'cron resume NAME',
    history: 'cron history NAME',
  },
  secret: {
    set: 'secret set shop db-password',
    list: 'secret list shop',
    rm: 'secret rm shop db-password',
    keygen: 'secret keygen',
  },
  token: {
    create: 'token create ci --role deploy',
    list: 'token list',
    revoke: 'token revoke ci',
  },
};

export function usageError(program: Program, argv: readonly string[], message: string): GantryError {
  const text = message.replace(/\s*\n\s*/g, ' ').trim();
  const help = `${program} --help shows the commands and options.`;
  const usage = (words: string, hint = help) => new GantryError('usage', words, { hint });
  const missing = /^Not enough arguments following: (.*)/.exec(text)?.[1];
  if (missing !== undefined) return usage(`${dashed(missing)} needs a value`);
  const choice = /^Invalid values: Argument: (\S+), Given: (.*?), Choices: (.*)/.exec(text);
  if (choice !== null) return wrongChoice(program, argv, choice.slice(1));
  const unknown = /^Unknown arguments?: (.*)/.exec(text)?.[1];
  if (unknown !== undefined) return usage(unknownWords(program, argv, unknown.split(', ')));
  if (text.startsWith('Not enough non-option arguments')) return tooFew(program, argv);
  return usage(text);
}

function wrongChoice(program: Program, argv: readonly string[], found: readonly string[]): GantryError {
  const [name = '', given = '', choices = ''] = found;
  const [word, known] = [unquoted(given)[0] ?? '', unquoted(choices)];
  const list = known.join(', ');
  if (name !== 'action') {
    const what = `${dashed(name)} cannot be ${JSON.stringify(word)}${meant(word, known)}`;
    return new GantryError('usage', what, { hint: `It is one of: ${list}.` });
  }
  const first = wordsOf(argv)[0] ?? '';
  const swapped = program === 'gantry' && localActions.some((a) => a === first);
  const hint = swapped
    ? `The config comes first: gantry CONFIG ${first} COMPONENT.`
    : `The actions are: ${list}.`;
  return new GantryError('usage', `${JSON.stringify(word)} is no action${meant(word, known)}`, { hint });
}

function unknownWords(program: Program, argv: readonly string[], names: readonly string[]): string {
  const [command, second] = wordsOf(argv);
  const nested = NESTED[command ?? ''];
  if (
    nested !== undefined &&
    second !== undefined &&
    nested[second] === undefined &&
    names.includes(second)
  ) {
    return `Unknown command "${command} ${second}"${meant(second, Object.keys(nested), `${command} `)}`;
  }
  if (program === 'gantryd' && command !== undefined && names.includes(command)) {
    return `Unknown command ${JSON.stringify(command)}${meant(command, Object.keys(EXAMPLES))}`;
  }
  // yargs names an option with dashes a second time, without them.
  const again = new Set(names.filter((name) => name.includes('-')).map(withoutDashes));
  const told = names
    .filter((name) => !again.has(name))
    .map((name) => {
      const option = argv.find((word) => word.replace(/^--?(no-)?/, '').split('=')[0] === name);
      return option?.startsWith('-')
        ? `unknown option ${option.split('=')[0]}${meant(name, optionsOf(program), '--')}`
        : `unexpected word ${JSON.stringify(name)}`;
    });
  return told.join('; ').replace(/^u/, 'U');
}

function withoutDashes(name: string): string {
  return name.replace(/-(.)/g, (_, letter: string) => letter.toUpperCase());
}

function tooFew(program: Program, argv: readonly string[]): GantryError {
  const [command = '', second = ''] = wordsOf(argv);
  const isKnown = program === 'gantryd' || ['local', 'proxy', 'job', 'cron', 'secret'].includes(command);
  const known = NESTED[command]?.[second] ?? EXAMPLES[command] ?? EXAMPLES.local ?? '';
  // The secrets of one box are of no project.
  const own = program === 'gantry' && command === 'secret' ? known.replace(' shop', '') : known;
  const example = isKnown ? `${program} ${own}` : 'gantry shop.yaml update web';
  const swallowed = argv.some((word) => /^(-c|--component)(=|$)/.test(word));
  const order = swallowed ? 'The project comes before -c. ' : '';
  return new GantryError('usage', `Too few words: a command is like \`${example}\``, {
    hint: `${order}${program} --help shows the commands and options.`,
  });
}

function optionsOf(program: Program): readonly string[] {
  const local = [...OPTION_NAMES, ...DRAINS_OPTION_NAMES, ...JOB_OPTION_NAMES, ...SECRET_OPTION_NAMES];
  return program === 'gantryd'
    ? [
        ...local,
        ...FLEET_OPTION_NAMES,
        ...EXEC_OPTION_NAMES,
        ...API_OPTION_NAMES,
        ...TOKEN_OPTION_NAMES,
        ...INSTALL_OPTION_NAMES,
      ]
    : local;
}

function meant(word: string, known: readonly string[], prefix = ''): string {
  const found = suggest(word, known);
  return found === undefined ? '' : `; did you mean ${JSON.stringify(`${prefix}${found}`)}?`;
}

function wordsOf(argv: readonly string[]): readonly string[] {
  return argv.filter((word) => !word.startsWith('-'));
}

function dashed(name: string): string {
  return `${name.length === 1 ? '-' : '--'}${name}`;
}

/** The strings in yargs' list `"a", "b"`. */
function unquoted(list: string): string[] {
  return [...list.matchAll(/"((?:[^"\\]|\\.)*)"/g)].map((match) => match[1] ?? '');
}
