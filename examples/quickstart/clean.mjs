/** Takes down what the demonstration in the given folder made. A process of its own; see run.mjs. */
import { clearStage } from './stage.mjs';

process.on('SIGINT', () => {}); // an impatient Ctrl-C must not leave half of it standing
await clearStage(process.argv[2]);
