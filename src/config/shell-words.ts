/**
 * A command line as its words: quotes and backslashes as in a shell, and nothing else of a shell. `$VAR` and `*` stay
 * as they are written, whatever shell-quote would make of them; what only a shell can do is refused. Pure.
 */
import { parse } from 'shell-quote';

/** Characters: as many bytes Linux takes as one argument (MAX_ARG_STRLEN), so a command is no longer, and takes no time. */
const MAX_LENGTH = 128 * 1024;
/** One step of a shell's reading: an escaped character, a quoted part, plain characters, or one that may mean more. */
const PIECE = /\\[\s\S]|'[^']*'|"(?:\\[\s\S]|[^"\\])*"|[^\s\\'"|&;<>()`#]+|[\s\S]/g;
const NEEDS_SHELL = /^[|&;<>()`\n]$/;

export type ShellWords = { readonly words: readonly string[] } | { readonly problem: string };

/** The words, or why there are none, as a sentence that begins in lower case. */
export function shellWords(text: string): ShellWords {
  if (text.length > MAX_LENGTH) return { problem: `is longer than ${MAX_LENGTH} characters` };
  const pieces = text.trim().match(PIECE) ?? [];
  const problem = problemIn(pieces);
  if (problem !== undefined) return { problem };
  const [dollar, hash] = unused(text);
  const entries = parse(pieces.map((piece) => masked(piece, dollar, hash)).join(''));
  const words: string[] = [];
  for (const entry of entries) {
    const word = typeof entry === 'string' ? entry : 'pattern' in entry ? entry.pattern : undefined;
    if (word === undefined) return { problem: 'cannot be read as a command' };
    words.push(word.replaceAll(dollar, '$').replaceAll(hash, '#'));
  }
  return words.length === 0 ? { problem: 'must not be empty' } : { words };
}

function problemIn(pieces: readonly string[]): string | undefined {
  for (const [index, piece] of pieces.entries()) {
    if (piece === "'" || piece === '"') return `has a ${piece} without its other half`;
    if (piece === '\\') return 'ends in a backslash';
    if (piece === '#' && /^\s$/.test(pieces[index - 1] ?? ' ')) return 'has a comment; put the `#` in quotes';
    if (NEEDS_SHELL.test(piece)) {
      const shown = piece === '\n' ? 'a second line' : `"${piece}"`;
      return `has ${shown}, which needs a shell: write sh -c '…' around it`;
    }
  }
  return undefined;
}

/** What shell-quote would take for more than it is here, in disguise; a line that goes on has no break. */
function masked(piece: string, dollar: string, hash: string): string {
  if (piece === '\\\n') return '';
  const text = piece.startsWith('"') ? piece.replace(/\\([\s\S])/g, inDoubleQuotes) : piece;
  return (piece === '#' ? hash : text).replaceAll('$', dollar);
}

/** Within double quotes a backslash stands for itself before most characters. */
function inDoubleQuotes(pair: string, character: string): string {
  if (character === '\n') return '';
  return character === '$' || character === '`' ? character : pair;
}

/** Two characters of Unicode's private area that the text does not have. */
function unused(text: string): readonly [string, string] {
  const used = new Set(text);
  const free: string[] = [];
  for (let code = 0xe000; free.length < 2; code++) {
    const character = String.fromCharCode(code);
    if (!used.has(character)) free.push(character);
  }
  return [free[0] ?? '', free[1] ?? ''];
}
