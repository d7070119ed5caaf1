/** `gantryd`: every command is this process itself. */
import { loadMain } from './program.ts';

export async function gantryd(): Promise<void> {
  const { main } = await loadMain();
  await main('gantryd');
}
