/** What is wrong with a command line, in the words of who typed it: yargs' own are for programmers. Pure. */
import { suggest } from '../config/suggest.ts';
import { GantryError } from '../errors.ts';
import { localActions, OPTION_NAMES } from './options.ts';

export type Program = 'gantry' | 'gantryd';

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
  const told = names.map((name) => {
    const option = argv.find((word) => word.replace(/^--?(no-)?/, '').split('=')[0] === name);
    if (option?.startsWith('-'))
      return `unknown option ${option.split('=')[0]}${meant(name, OPTION_NAMES, '--')}`;
    const isCommand = program === 'gantryd' && wordsOf(argv)[0] === name;
    return isCommand
      ? `unknown command ${JSON.stringify(name)}${meant(name, ['local', 'proxy'])}`
      : `unexpected word ${JSON.stringify(name)}`;
  });
  return told.join('; ').replace(/^u/, 'U');
}

function tooFew(program: Program, argv: readonly string[]): GantryError {
  const command = wordsOf(argv)[0];
  const example =
    command === 'proxy'
      ? `${program} proxy status`
      : command === 'local' || program === 'gantryd'
        ? `${program} local update shop.yaml web`
        : 'gantry shop.yaml update web';
  return new GantryError('usage', `Too few words: a command is like \`${example}\``, {
    hint: `${program} --help shows the commands and options.`,
  });
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
