/** What the fields of RequestAuthentication do. */
import { type FieldTable, reported } from '../field-table.ts';
import { STATUS } from './status.ts';

export const REQUEST_AUTHENTICATION_FIELDS: FieldTable = {
  ...STATUS,
  '**': reported('RequestAuthentication is not compiled yet: it has no effect'),
};
