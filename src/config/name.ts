/** What projects, components and the like may be called: parts of keys and paths, in which a slash would be another. Pure. */
import { GantryError } from '../errors.ts';

export const NAME = '^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,62}$';
const ANY_NAME = new RegExp(NAME);

/** The name of a project as it is. Throws usage for one that none can have; `more` ends its hint. */
export function projectName(name: string, more = ''): string {
  if (ANY_NAME.test(name)) return name;
  throw new GantryError('usage', `${JSON.stringify(name)} cannot be the name of a project`, {
    hint: `It begins with a letter or digit and goes on with letters, digits, \`_\`, \`.\` or \`-\`.${more}`,
  });
}
