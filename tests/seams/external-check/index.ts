/** A filter as docs/recipes.md says, known to the driver of these tests alone. */
import { defineFilter } from '../../../edge-proxy/http/filters/definition.ts';
import { compileCheck } from './compile.ts';
import { createCheck } from './filter.ts';
import { ExternalCheck } from './schema.ts';

export const externalCheck = defineFilter({
  type: 'tulle.tests.ExternalCheck',
  schema: ExternalCheck,
  create: (config, { env }) => createCheck(compileCheck(config), env.call),
});
