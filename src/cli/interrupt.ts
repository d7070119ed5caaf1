/** Ctrl-C and SIGTERM: the first asks the command to end in order, the second ends it at once. */

/** Runs `body` with a signal that the first SIGINT, SIGTERM or SIGHUP aborts; another one ends the process with `code`. */
export async function interruptible<T>(body: (signal: AbortSignal) => Promise<T>, code = 1): Promise<T> {
  const controller = new AbortController();
  const onSignal = () => {
    if (controller.signal.aborted) process.exit(code);
    controller.abort();
  };
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
  for (const name of signals) process.on(name, onSignal);
  try {
    return await body(controller.signal);
  } finally {
    for (const name of signals) process.off(name, onSignal);
  }
}
