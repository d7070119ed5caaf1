/**
 * Sealing: whoever has a public key can seal, only who has the private half can open, and only for the context it was
 * sealed for. X25519 with a fresh key each time, HKDF-SHA256, AES-256-GCM, all of Node's own. Pure, but for chance.
 *
 * `v1.` and base64url of: 8 bytes that tell the recipient's key, the fresh public key (32), the ciphertext and its
 * tag (16). Key and nonce come from the fresh key and are used once.
 */
import {
  createCipheriv,
  createDecipheriv,
  createHash,
  createPublicKey,
  diffieHellman,
  generateKeyPairSync,
  hkdfSync,
  type KeyObject,
} from 'node:crypto';
import { GantryError } from '../errors.ts';

const VERSION = 'v1';
const CIPHER = 'aes-256-gcm';
const KEY_ID_BYTES = 8;
const POINT_BYTES = 32;
const KEY_BYTES = 32;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const HEADER_BYTES = KEY_ID_BYTES + POINT_BYTES;
const BASE64URL = /^[A-Za-z0-9_-]+$/;
/** DER of an X25519 public key up to its 32 bytes: https://www.rfc-editor.org/rfc/rfc8410#section-10.1 */
const SPKI_PREFIX = Buffer.from('302a300506032b656e032100', 'hex');

/** `publicKey`: as publicKeyText answers it; secrets-key when it is none. */
export function seal(publicKey: string, plain: Buffer, context: string): string {
  const recipient = rawPublicKey(publicKey);
  const fresh = generateKeyPairSync('x25519');
  const point = rawOf(fresh.publicKey);
  const header = Buffer.concat([keyId(recipient), point]);
  const { key, nonce } = derived(agreedWith(publicKey, fresh.privateKey, recipient), point, recipient);
  const cipher = createCipheriv(CIPHER, key, nonce, { authTagLength: TAG_BYTES });
  cipher.setAAD(bound(header, context));
  const body = Buffer.concat([header, cipher.update(plain), cipher.final(), cipher.getAuthTag()]);
  return `${VERSION}.${body.toString('base64url')}`;
}

/** secrets-key: it was sealed for another key or context, or is damaged. */
export function open(privateKey: KeyObject, sealed: string, context: string): Buffer {
  const body = bodyOf(sealed);
  const own = rawOf(createPublicKey(privateKey));
  const header = body.subarray(0, HEADER_BYTES);
  const point = header.subarray(KEY_ID_BYTES);
  if (!keyId(own).equals(header.subarray(0, KEY_ID_BYTES))) throw otherKey(context);
  try {
    const { key, nonce } = derived(agreed(privateKey, point), point, own);
    const decipher = createDecipheriv(CIPHER, key, nonce, { authTagLength: TAG_BYTES });
    decipher.setAAD(bound(header, context));
    decipher.setAuthTag(body.subarray(body.length - TAG_BYTES));
    const plain = decipher.update(body.subarray(HEADER_BYTES, body.length - TAG_BYTES));
    return Buffer.concat([plain, decipher.final()]);
  } catch (cause) {
    throw damaged(context, cause);
  }
}

/** base64url of the 32 bytes of the key, or of the public half of a private one. */
export function publicKeyText(key: KeyObject): string {
  return rawOf(key.type === 'private' ? createPublicKey(key) : key).toString('base64url');
}

export function isPublicKey(text: string): boolean {
  return BASE64URL.test(text) && Buffer.from(text, 'base64url').length === POINT_BYTES;
}

function rawPublicKey(text: string): Buffer {
  if (isPublicKey(text)) return Buffer.from(text, 'base64url');
  throw noPublicKey(text);
}

function noPublicKey(text: string, cause?: unknown): GantryError {
  return new GantryError('secrets-key', `${JSON.stringify(text.slice(0, 60))} is no public key for secrets`, {
    hint: 'It is 32 bytes as base64url; `gantryd secret keygen` prints the one of a key it makes.',
    cause,
  });
}

function rawOf(publicKey: KeyObject): Buffer {
  return publicKey.export({ format: 'der', type: 'spki' }).subarray(SPKI_PREFIX.length);
}

/** Some points agree with everybody on the same secret; OpenSSL refuses them. */
function agreedWith(publicKey: string, privateKey: KeyObject, recipient: Buffer): Buffer {
  try {
    return agreed(privateKey, recipient);
  } catch (cause) {
    throw noPublicKey(publicKey, cause);
  }
}

function agreed(privateKey: KeyObject, point: Buffer): Buffer {
  const der = Buffer.concat([SPKI_PREFIX, point]);
  return diffieHellman({ privateKey, publicKey: createPublicKey({ key: der, format: 'der', type: 'spki' }) });
}

/** Both public keys go in, as RFC 7748 section 6.1 advises: the secret alone does not tell who agreed. */
function derived(shared: Buffer, point: Buffer, recipient: Buffer): { key: Buffer; nonce: Buffer } {
  const salt = Buffer.concat([point, recipient]);
  const bytes = Buffer.from(
    hkdfSync('sha256', shared, salt, `gantryd secret ${VERSION}`, KEY_BYTES + NONCE_BYTES),
  );
  return { key: bytes.subarray(0, KEY_BYTES), nonce: bytes.subarray(KEY_BYTES) };
}

function keyId(publicKey: Buffer): Buffer {
  return createHash('sha256').update(publicKey).digest().subarray(0, KEY_ID_BYTES);
}

function bound(header: Buffer, context: string): Buffer {
  return Buffer.concat([header, Buffer.from(context, 'utf8')]);
}

function bodyOf(sealed: string): Buffer {
  const text = sealed.startsWith(`${VERSION}.`) ? sealed.slice(VERSION.length + 1) : '';
  const body = BASE64URL.test(text) ? Buffer.from(text, 'base64url') : Buffer.alloc(0);
  if (body.length >= HEADER_BYTES + TAG_BYTES) return body;
  throw new GantryError('secrets-key', 'A sealed value is damaged, or was sealed by a newer gantryd', {
    hint: 'Set the secret again.',
  });
}

function otherKey(context: string): GantryError {
  return new GantryError(
    'secrets-key',
    `What was sealed for ${context} was sealed for another key than this host's`,
    {
      hint: 'All hosts hold the same key file. Copy it from a host that can open it, or set the secret again.',
    },
  );
}

function damaged(context: string, cause: unknown): GantryError {
  return new GantryError(
    'secrets-key',
    `What was sealed for ${context} is damaged, or was sealed for something else`,
    {
      hint: 'Set the secret again.',
      cause,
    },
  );
}
