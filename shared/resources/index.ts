/** Resources: the registry of kinds, and their validation. */
export { type Validation, validate } from './read/validate.ts';
export { kindByName, kindByPlural, kindOf, kinds, splitApiVersion } from './registry.ts';
export { parseDuration } from './schema/vocabulary.ts';
