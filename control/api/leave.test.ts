import { expect, it } from 'vitest';
import type { Join } from '../ca/joins.ts';
import type { PeerCertificate } from './caller.ts';
import { leaveRoutes } from './leave.ts';

const revoked: [string, string][] = [];
const joins = {
  ofSerial: (serial: string) => (serial === 'ab' ? ({ id: '0123456789abcdef' } as Join) : undefined),
  revoke: async (id: string, reason: string) => {
    revoked.push([id, reason]);
    return undefined;
  },
};
const app = leaveRoutes({ joins, report: () => {} });
const leave = (serial?: string) =>
  app.request(
    '/v1/join',
    { method: 'DELETE' },
    serial === undefined ? {} : { peerCertificate: { serial } as PeerCertificate },
  );

it('ends the join of the certificate that the caller has, and no other', async () => {
  expect((await leave()).status).toBe(401);
  expect((await leave('cd')).status).toBe(404);
  expect(revoked).toEqual([]);
  const left = await leave('ab');
  expect([left.status, await left.json()]).toEqual([200, { id: '0123456789abcdef' }]);
  expect(revoked).toEqual([['0123456789abcdef', 'the machine left the mesh']]);
});
