/**
 * One stream of hints for all components of a host: engine and proxy are followed once, and each component is poked
 * by what concerns it. Twenty agents with a stream each would be twenty times the work for the engine.
 */
import type { ProxyPort } from '../../agent/proxy-port.ts';
import type { Engine, EngineEvent } from '../../docker/engine.ts';

/** The engine with its events shared. Begins to follow with the first listener, until `ended`. */
export function sharedEngine(engine: Engine, ended: AbortSignal): Engine {
  const events = shared<EngineEvent>((listener) => engine.watch(listener, ended));
  return new Proxy(engine, {
    get(target, name) {
      if (name === 'watch') return events;
      const value: unknown = Reflect.get(target, name);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}

/** The port with its changes shared, for one owner. */
export function sharedProxyPort(proxy: ProxyPort, owner: string, ended: AbortSignal): ProxyPort {
  const changes = shared<void>((listener) => proxy.watch(owner, () => listener(), ended));
  return { ...proxy, watch: (_, listener, signal) => changes(listener, signal) };
}

function shared<E>(begin: (listener: (event: E) => void) => void) {
  const listeners = new Set<(event: E) => void>();
  let begun = false;
  return (listener: (event: E) => void, signal: AbortSignal): void => {
    if (signal.aborted) return;
    listeners.add(listener);
    signal.addEventListener('abort', () => listeners.delete(listener), { once: true });
    if (begun) return;
    begun = true;
    begin((event) => {
      for (const each of [...listeners]) each(event);
    });
  };
}
