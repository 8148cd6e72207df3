import { expect, it } from 'vitest';
import type { JoinCertificate } from '../joins.ts';
import { TrustFeed } from './trust-feed.ts';

it('gives what was added since a version, and all of it to a proxy of another process', () => {
  let revoked: JoinCertificate[] = [{ serial: '1', notAfter: 1 }];
  let changed = () => {};
  const joins = {
    revokedCertificates: () => revoked,
    onRevoked(listener: () => void) {
      changed = listener;
      return () => {};
    },
  };
  const feed = new TrustFeed(joins, () => 'roots');
  const first = feed.version;
  expect(feed.since(undefined)).toEqual({ version: first, whole: true, revoked, trustBundle: 'roots' });
  let calls = 0;
  feed.onChange(() => void calls++);
  revoked = [...revoked, { serial: '2', notAfter: 2 }];
  changed();
  expect(calls).toBe(1);
  expect(feed.version).not.toBe(first);
  expect(feed.since(first)).toMatchObject({ whole: false, revoked: [{ serial: '2' }] });
  expect(feed.since(feed.version)).toMatchObject({ whole: false, revoked: [] });
  expect(feed.since('0123456789ab.7')).toMatchObject({ whole: true, revoked });
  // The first has expired.
  revoked = revoked.slice(1);
  feed.changed();
  expect(feed.since(undefined).revoked).toEqual(revoked);
});
