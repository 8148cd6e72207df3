/** What the fields of EnvoyFilter do. */
import { type FieldTable, reported } from '../field-table.ts';
import { STATUS } from './status.ts';

export const ENVOY_FILTER_FIELDS: FieldTable = {
  ...STATUS,
  '**': reported('EnvoyFilter is not compiled yet: it has no effect'),
};
