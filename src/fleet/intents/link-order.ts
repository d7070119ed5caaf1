/** In which order components are updated together: who offers a link before who requires it. Pure. */
import type { Component } from '../../config/project.ts';

export interface LinkOrder {
  /** Exporters first, else as they were asked for. */
  readonly order: readonly string[];
  /** By component: those of `order` it waits for. */
  readonly after: ReadonlyMap<string, readonly string[]>;
  /** Circles, and where each was cut. */
  readonly warnings: readonly string[];
}

/** Components that define the links which `component` requires, without itself. */
export function exportersOf(component: Component, all: readonly Component[]): readonly string[] {
  const names = component.requiresLinks.flatMap(({ name }) => {
    const exporter = all.find((c) => c.definesLinks.some((l) => l.name === name));
    return exporter === undefined || exporter.name === component.name ? [] : [exporter.name];
  });
  return [...new Set(names)];
}

/** A circle is cut at the requirement that closes it. */
export function linkOrder(names: readonly string[], all: readonly Component[]): LinkOrder {
  const order: string[] = [];
  const after = new Map<string, readonly string[]>();
  const warnings: string[] = [];
  const visit = (name: string, path: readonly string[]) => {
    const component = all.find((c) => c.name === name);
    if (component === undefined || after.has(name)) return;
    const way = [...path, name];
    const waitsFor: string[] = [];
    for (const exporter of exportersOf(component, all)) {
      if (!names.includes(exporter)) continue;
      if (way.includes(exporter)) {
        warnings.push(circleWords(way.slice(way.indexOf(exporter))));
        continue;
      }
      visit(exporter, way);
      waitsFor.push(exporter);
    }
    after.set(name, waitsFor);
    order.push(name);
  };
  for (const name of names) visit(name, []);
  return { order, after, warnings };
}

function circleWords(circle: readonly string[]): string {
  const [first = '', last = ''] = [circle[0], circle.at(-1)];
  const way = [...circle, first].join(' needs ');
  return `The links form a circle (${way}): ${last} is updated without waiting for ${first}`;
}
