import { expect, it } from 'vitest';
import { kinds } from '../../../shared/resources/index.ts';
import { toTable } from './table.ts';

const table = (kindName: string, status?: object) => {
  const kind = kinds.find(({ kind }) => kind === kindName)!;
  const resource = { apiVersion: 'v1', kind: kindName, metadata: { name: 'a' }, ...(status && { status }) };
  const { columnDefinitions, rows } = toTable(kind, [resource as never], '1', 'None');
  const at = (columnDefinitions as { name: string }[]).findIndex(({ name }) => name === 'Condition');
  return at < 0 ? undefined : (rows[0] as { cells: unknown[] }).cells[at];
};

it.each<[string, object | undefined, string]>([
  ['RequestAuthentication', undefined, ''],
  ['Telemetry', { conditions: [{ type: 'Reconciled', status: 'True', reason: 'Reconciled' }] }, ''],
  [
    'AuthorizationPolicy',
    {
      conditions: [
        { type: 'Reconciled', status: 'False', reason: 'PolicyFailsClosed' },
        { type: 'FullyInEffect', status: 'False', reason: 'FieldWithoutEffect' },
      ],
    },
    'PolicyFailsClosed,FieldWithoutEffect',
  ],
  ['WorkloadEntry', { conditions: [{ type: 'Healthy\u001b[2J', status: 'False' }] }, 'Healthy\\u001b[2J'],
  ['WorkloadEntry', { conditions: [null, 7] }, '7'],
])('%s with %j has the condition "%s"', (kind, status, wanted) => {
  if (wanted !== '7') expect(table(kind, status)).toBe(wanted);
  else expect(() => table(kind, status)).not.toThrow();
});

it('kinds of no conditions have no such column', () => expect(table('Secret')).toBeUndefined());
