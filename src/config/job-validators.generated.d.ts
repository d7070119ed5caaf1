/** What generate.ts writes next to the compiled files: the schemas of job-schema.ts and schedule-schema.ts as code. */
import type { ErrorObject } from 'ajv';

interface Validator {
  (data: unknown): boolean;
  errors?: ErrorObject[] | null;
}

export declare const validateJob: Validator;
export declare const validateWorkflow: Validator;
export declare const validateSchedule: Validator;
export declare const validateDocket: Validator;
