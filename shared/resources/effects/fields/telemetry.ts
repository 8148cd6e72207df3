/** What the fields of Telemetry do. */
import { type FieldTable, reported } from '../field-table.ts';
import { STATUS } from './status.ts';

export const TELEMETRY_FIELDS: FieldTable = {
  ...STATUS,
  '**': reported('Telemetry is not compiled yet: it has no effect'),
};
