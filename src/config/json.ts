/**
 * JSON text with places: JSON.parse makes the value, a small scanner of our own knows where every
 * field stands, sees fields given twice (JSON.parse keeps the last one silently), and says what is
 * wrong with bad JSON in the same words on every Node version. Pure.
 */
import { excerpt, type Finding, type Path, placeOf, pointerOf, type Source } from './problems.ts';

/** Deeper nesting is refused: no file of ours needs it, and it keeps the scanner off the stack's end. */
const MAX_DEPTH = 100;
const NUMBER = /^-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?$/;
const ESCAPE = /\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})/y;
const WORD = /[^\s,:[\]{}"]{1,400}/y;

class Fault extends Error {
  readonly offset: number;
  constructor(offset: number, message: string) {
    super(message);
    this.offset = offset;
  }
}

/** The text as a Source, or the one thing that makes it no JSON. */
export function readJson(text: string): Source | Finding {
  const scanner = new Scanner(text);
  try {
    scanner.document();
    return scanner.source(JSON.parse(text));
  } catch (error) {
    if (!(error instanceof Fault || error instanceof SyntaxError)) throw error;
    const offset = error instanceof Fault ? error.offset : 0;
    return {
      path: [],
      offset,
      message: `is not valid JSON: ${error.message}${excerpt(text, offset)}`,
    };
  }
}

interface Spot {
  readonly key?: number;
  readonly value: number;
}

/** Walks the text once. Its position is its only state besides what it found. */
class Scanner {
  readonly #text: string;
  #at = 0;
  readonly #spots = new Map<string, Spot>();
  readonly #findings: Finding[] = [];

  constructor(text: string) {
    this.#text = text;
  }

  document(): void {
    this.#blank();
    this.#value([], undefined);
    this.#blank();
    if (this.#at < this.#text.length) throw new Fault(this.#at, 'nothing may follow the closing bracket');
  }

  source(value: unknown): Source {
    const spots = this.#spots;
    return {
      text: this.#text,
      value,
      findings: this.#findings,
      offsetOf: (path, at) => {
        for (let n = path.length; n >= 0; n--) {
          const spot = spots.get(pointerOf(path.slice(0, n)));
          if (spot !== undefined)
            return at === 'key' && n === path.length ? (spot.key ?? spot.value) : spot.value;
        }
        return undefined;
      },
    };
  }

  #value(path: Path, key: number | undefined): void {
    if (path.length > MAX_DEPTH) throw new Fault(this.#at, `nested deeper than ${MAX_DEPTH} levels`);
    this.#spots.set(pointerOf(path), key === undefined ? { value: this.#at } : { key, value: this.#at });
    const next = this.#text[this.#at];
    if (next === '{') this.#object(path);
    else if (next === '[') this.#array(path);
    else if (next === '"') this.#string();
    else this.#word();
  }

  #object(path: Path): void {
    const fields = new Set<string>();
    this.#entries('}', () => {
      const key = this.#at;
      const name = this.#fieldName();
      const field = [...path, name];
      if (fields.has(name)) {
        this.#findings.push({ path: field, offset: key, message: 'this field is given twice' });
      }
      fields.add(name);
      this.#value(field, key);
    });
  }

  #array(path: Path): void {
    let index = 0;
    this.#entries(']', () => this.#value([...path, index++], undefined));
  }

  #entries(close: string, entry: () => void): void {
    const open = this.#at++;
    this.#blank();
    if (this.#text[this.#at] === close) {
      this.#at++;
      return;
    }
    while (true) {
      entry();
      this.#blank();
      const comma = this.#at;
      const next = this.#text[this.#at];
      if (next === close) {
        this.#at++;
        return;
      }
      if (next === undefined) throw this.#ended(open);
      if (next === '}' || next === ']')
        throw new Fault(comma, `\`${close}\` is expected here, not \`${next}\``);
      if (next !== ',') throw new Fault(comma, `a comma or \`${close}\` is missing before this`);
      this.#at++;
      this.#blank();
      if (this.#text[this.#at] === close) {
        throw new Fault(comma, `no comma may stand after the last entry, before \`${close}\``);
      }
      if (this.#at >= this.#text.length) throw this.#ended(open);
    }
  }

  #fieldName(): string {
    const next = this.#text[this.#at];
    if (next !== '"') {
      const example = next !== undefined && /[\w$]/.test(next) ? ', as "name"' : '';
      throw new Fault(this.#at, `a field name in double quotes is expected here${example}`);
    }
    const start = this.#at;
    this.#string();
    const name: string = JSON.parse(this.#text.slice(start, this.#at));
    this.#blank();
    if (this.#text[this.#at] !== ':') throw new Fault(this.#at, `a colon is missing after "${name}"`);
    this.#at++;
    this.#blank();
    return name;
  }

  #string(): void {
    const open = this.#at++;
    for (; ; this.#at++) {
      const code = this.#text.charCodeAt(this.#at);
      if (code === 0x22) break;
      if (Number.isNaN(code) || code === 0x0a) throw new Fault(open, 'this text has no closing double quote');
      if (code < 0x20)
        throw new Fault(this.#at, 'a control character stands in a text; write it as \\u00XX, \\t …');
      if (code !== 0x5c) continue;
      ESCAPE.lastIndex = this.#at;
      const escaped = ESCAPE.exec(this.#text);
      if (escaped === null)
        throw new Fault(this.#at, 'JSON knows no such escape; a backslash is written `\\\\`');
      this.#at += escaped[0].length - 1;
    }
    this.#at++;
  }

  #word(): void {
    const start = this.#at;
    if (start >= this.#text.length) throw new Fault(start, 'the file ends where a value is expected');
    if (this.#text[start] === "'") throw new Fault(start, 'texts stand in double quotes, not single ones');
    WORD.lastIndex = start;
    const word = WORD.exec(this.#text)?.[0];
    if (word === undefined) throw new Fault(start, `a value is expected here, not \`${this.#text[start]}\``);
    this.#at += word.length;
    if (word === 'true' || word === 'false' || word === 'null' || NUMBER.test(word)) return;
    throw new Fault(start, 'this is no JSON value; texts stand in double quotes');
  }

  #blank(): void {
    while (' \t\n\r'.includes(this.#text[this.#at] ?? 'x')) this.#at++;
    const two = this.#text.slice(this.#at, this.#at + 2);
    if (two === '//' || two === '/*' || two[0] === '#') {
      throw new Fault(this.#at, 'JSON has no comments; remove it, or write it as a .yaml file');
    }
  }

  #ended(open: number): Fault {
    const { line, column } = placeOf(this.#text, open);
    return new Fault(
      this.#text.trimEnd().length,
      `the file ends before the \`${this.#text[open]}\` of line ${line}, column ${column} is closed`,
    );
  }
}
