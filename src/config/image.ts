/** Images by name, with tag or digest: what is wrong with one, and the tag that is meant without one. Pure. */

const TAG = /^[a-zA-Z0-9_][a-zA-Z0-9_.-]{0,127}$/;
const DIGEST = /^sha256:[0-9a-f]{64}$/;
const NAME = /^[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*$/;

interface Parts {
  /** The registry and the folders before the last part, with `/` at the end, or ''. */
  readonly before: string;
  readonly name: string;
  readonly tag?: string;
  readonly digest?: string;
}

/** Why Docker would not take it for an image, as what it must be. */
export function imageProblem(image: string): string | undefined {
  if (image === '') return 'must not be empty';
  if (/\s/.test(image)) return 'must not contain blanks';
  if (/^[a-z]+:\/\//i.test(image))
    return 'must be an image, not an address: leave out what stands before `//`';
  const { before, name, tag, digest } = partsOf(image);
  if (name !== name.toLowerCase()) return 'must be in lower case: Docker knows no other image names';
  if (!NAME.test(name) || before.startsWith('/') || before.includes('//'))
    return 'must be the name of an image, as "registry.example.com/team/name:tag"';
  if (tag !== undefined && !TAG.test(tag))
    return 'must have a tag of letters, digits, `_`, `.` and `-` behind the colon, 128 at most';
  if (digest !== undefined && !DIGEST.test(digest))
    return 'must have `sha256:` and 64 hexadecimal digits behind the `@`';
  return undefined;
}

/** Docker would pull all tags there are. */
export function withTag(image: string): string {
  const { tag, digest } = partsOf(image);
  return tag === undefined && digest === undefined ? `${image}:latest` : image;
}

function partsOf(image: string): Parts {
  const at = image.indexOf('@');
  const ref = at === -1 ? image : image.slice(0, at);
  const slash = ref.lastIndexOf('/');
  const last = ref.slice(slash + 1);
  const colon = last.indexOf(':');
  return {
    before: ref.slice(0, slash + 1),
    name: colon === -1 ? last : last.slice(0, colon),
    ...(colon !== -1 && { tag: last.slice(colon + 1) }),
    ...(at !== -1 && { digest: image.slice(at + 1) }),
  };
}
