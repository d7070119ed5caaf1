/**
 * What a text means, remembered until another one comes: who is asked every few seconds says the same for hours, and
 * reading it again costs more than seeing that it is the same.
 */
export class LastRead<T> {
  readonly #read: (text: string) => T;
  #last: { readonly text: string; readonly value: T } | undefined;

  /** `read` goes by the text alone, and nobody changes what it answers. */
  constructor(read: (text: string) => T) {
    this.#read = read;
  }

  /** Equal texts in a row are the same value. Throws what `read` throws. */
  of(text: string): T {
    if (this.#last?.text !== text) this.#last = { text, value: this.#read(text) };
    return this.#last.value;
  }
}
