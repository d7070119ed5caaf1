/** The value of a secret, from where whoever sets it has it: a file, a pipe, or typed without being shown. */
import { open } from 'node:fs/promises';
import { GantryError, messageOf } from '../../errors.ts';
import { MAX_SECRET_BYTES, refuseSecretValue } from '../../secrets/names.ts';

const ENTER = /[\r\n]/;
const BACKSPACE = /[\b\u007f]/;
const CTRL_C = '\u0003';
const CTRL_D = '\u0004';

/** Exactly the bytes that are there; of what is typed, one line without its end. usage; interrupted. */
export async function readSecretValue(name: string, file: string | undefined): Promise<Buffer> {
  const value = await given(name, file);
  refuseSecretValue(name, value);
  return value;
}

function given(name: string, file: string | undefined): Promise<Buffer> {
  if (file !== undefined) return fromFile(file);
  return process.stdin.isTTY ? typed(name) : collected(process.stdin);
}

async function fromFile(path: string): Promise<Buffer> {
  try {
    const file = await open(path, 'r');
    // The stream closes the file.
    return await collected(file.createReadStream());
  } catch (error) {
    throw new GantryError('usage', `--file ${path} cannot be read: ${messageOf(error)}`, {
      hint: 'Check the path and the rights of the file.',
      cause: error,
    });
  }
}

/** At most one byte more than a value may have: enough to refuse it. */
async function collected(stream: AsyncIterable<Buffer>): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of stream) {
    chunks.push(chunk);
    bytes += chunk.length;
    if (bytes > MAX_SECRET_BYTES) break;
  }
  return Buffer.concat(chunks).subarray(0, MAX_SECRET_BYTES + 1);
}

async function typed(name: string): Promise<Buffer> {
  const { stdin, stderr } = process;
  stderr.write(`Value of ${name}, which is not shown: `);
  stdin.setRawMode(true);
  stdin.setEncoding('utf8');
  try {
    return Buffer.from(await line(stdin), 'utf8');
  } finally {
    stdin.setRawMode(false);
    stdin.pause();
    stderr.write('\n');
  }
}

/** In raw mode keys come as they are, and nobody else takes care of them. */
async function line(keys: AsyncIterable<unknown>): Promise<string> {
  let text = '';
  for await (const chunk of keys) {
    for (const key of String(chunk)) {
      if (key === CTRL_C) throw new GantryError('interrupted', 'Interrupted; no secret was set');
      if (ENTER.test(key) || key === CTRL_D) return text;
      text = BACKSPACE.test(key) ? [...text].slice(0, -1).join('') : text + key;
      if (text.length > MAX_SECRET_BYTES) return text;
    }
  }
  return text;
}
