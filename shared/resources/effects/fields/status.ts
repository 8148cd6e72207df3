/** `status`, which every kind of Istio has: conditions are written by the control plane, other fields are kept. */
import { type FieldTable, inForce } from '../field-table.ts';

export const STATUS: FieldTable = { status: inForce('control/status/status-writer.test.ts') };
