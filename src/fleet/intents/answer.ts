/** Something that is waited for once, by many. */

/** A promise, and whether it is resolved. */
export class Answer {
  done = false;
  readonly promise: Promise<void>;
  #resolve: () => void = () => undefined;

  constructor() {
    this.promise = new Promise((resolve) => {
      this.#resolve = resolve;
    });
  }

  resolve(): void {
    this.done = true;
    this.#resolve();
  }
}
