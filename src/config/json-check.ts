/** A value against a JSON Schema (draft 2020-12) that is not known at build time, as those of the API's routes. */
import { Ajv2020, type ErrorObject } from 'ajv/dist/2020.js';

export interface Flaw {
  /** RFC 6901. */
  readonly pointer: string;
  readonly message: string;
}

/** Formats are for readers of the document. */
const OPTIONS = {
  allErrors: true,
  validateFormats: false,
  strictTypes: false,
  strictTuples: false,
  allowUnionTypes: true,
  logger: false,
  // They are ours, and tests hold them against the meta-schema, which takes 20 ms to compile.
  validateSchema: false,
} as const;
const made: { ajv?: Ajv2020 } = {};

export type JsonCheck = (value: unknown) => readonly Flaw[];

/** For schemas that stay: each is kept. Throws for what is none. */
export function jsonCheck(schema: object): JsonCheck {
  made.ajv ??= new Ajv2020(OPTIONS);
  const validate = made.ajv.compile(schema);
  return (value) => (validate(value) ? [] : (validate.errors ?? []).map(flawOf));
}

function flawOf({ instancePath, keyword, params, message }: ErrorObject): Flaw {
  switch (keyword) {
    case 'additionalProperties':
      return { pointer: below(instancePath, params.additionalProperty), message: 'is not known here' };
    case 'unevaluatedProperties':
      return { pointer: below(instancePath, params.unevaluatedProperty), message: 'is not known here' };
    case 'required':
      return { pointer: below(instancePath, params.missingProperty), message: 'is missing' };
    case 'enum':
      return { pointer: instancePath, message: `must be one of ${params.allowedValues.join(', ')}` };
    default:
      return { pointer: instancePath, message: message ?? 'is not valid' };
  }
}

function below(pointer: string, name: unknown): string {
  return `${pointer}/${String(name).replaceAll('~', '~0').replaceAll('/', '~1')}`;
}
