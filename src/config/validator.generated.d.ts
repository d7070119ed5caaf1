/** What generate.ts writes next to the compiled files: the schema compiled to code by ajv ahead of time. */
import type { ErrorObject } from 'ajv';

export declare const validate: {
  (data: unknown): boolean;
  errors?: ErrorObject[] | null;
};
