/**
 * One look for all components of a host that want one: whoever asks while another is being answered waits and shares
 * the next answer with all who do. Nobody is told anything older than his question; a hundred components that look at
 * the same moment ask the engine twice.
 */
import type { ProxyPort } from '../../agent/proxy-port.ts';
import type { Container, ContainerFilter, Engine } from '../../docker/engine.ts';

type Ask<Q, A> = (questions: readonly Q[]) => Promise<A>;

/** Asks for one at once, and for all who came meanwhile together, when that is answered. */
class Shared<Q, A> {
  readonly #ask: Ask<Q, A>;
  #next: { readonly questions: Q[]; readonly answer: Promise<A> } | undefined;
  #underWay: Promise<unknown> | undefined;

  constructor(ask: Ask<Q, A>) {
    this.#ask = ask;
  }

  ask(question: Q): Promise<A> {
    if (this.#underWay === undefined) return this.#begin([question]);
    this.#next ??= this.#after(this.#underWay);
    this.#next.questions.push(question);
    return this.#next.answer;
  }

  #after(underWay: Promise<unknown>) {
    const questions: Q[] = [];
    const answer = underWay.then(() => {
      this.#next = undefined;
      return this.#begin(questions);
    });
    return { questions, answer };
  }

  #begin(questions: readonly Q[]): Promise<A> {
    const answer = this.#ask(questions);
    const over = answer.then(
      () => undefined,
      () => undefined, // whoever asked meets it
    );
    this.#underWay = over;
    void over.then(() => {
      if (this.#underWay === over && this.#next === undefined) this.#underWay = undefined;
    });
    return answer;
  }
}

/** The engine, whose answers to `containers` are shared among the components of one project on one host. */
export function lookingTogether(engine: Engine, project: string, host: string): Engine {
  const shared = new Shared<string, readonly Container[]>((names) => {
    const only = new Set(names).size === 1 ? { component: names[0] as string } : {};
    return engine.containers({ project, host, ...only });
  });
  const containers = async (filter: ContainerFilter): Promise<readonly Container[]> => {
    const { component } = filter;
    if (component === undefined || filter.project !== project || filter.host !== host)
      return engine.containers(filter);
    return (await shared.ask(component)).filter((container) => container.component === component);
  };
  return new Proxy(engine, {
    get(target, name) {
      if (name === 'containers') return containers;
      const value: unknown = Reflect.get(target, name);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}

/** The port, whose status of one owner is shared. */
export function statusTogether(proxy: ProxyPort, owner: string): ProxyPort {
  const shared = new Shared(() => proxy.status(owner));
  return { ...proxy, status: (of) => (of === owner ? shared.ask(of) : proxy.status(of)) };
}
