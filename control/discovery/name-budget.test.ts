import { describe, expect, it } from 'vitest';
import type { Node } from '../../shared/xds/core.ts';
import { type DeltaDiscoveryRequest, TYPE_URLS } from '../../shared/xds/discovery.ts';
import { ResourceSet } from '../compile/output/resource-set.ts';
import { SharedResource } from '../compile/output/shared-resource.ts';
import { NameBudget } from './name-budget.ts';
import { Session } from './session.ts';
import { type SessionLimits, SessionTable } from './session-table.ts';
import { Subscription } from './subscription.ts';

const typeUrl = TYPE_URLS.clusters;
const names = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => `n${from + i}`);
describe('names that a proxy chooses', () => {
  const LIMIT = 1 << 20;
  const subscription = () => {
    const budget = new NameBudget(LIMIT, 'one session');
    return { budget, subscription: new Subscription(true, budget) };
  };
  const isFree = (budget: NameBudget) => {
    budget.charge(LIMIT);
    budget.refund(LIMIT);
  };

  it('cost nothing any more once the proxy lets go of them', () => {
    const { budget, subscription: one } = subscription();
    for (let round = 0; round < 50; round++) {
      one.take({ typeUrl, resourceNamesSubscribe: names(0, 1000) });
      expect(() => isFree(budget)).toThrow('the limit of 1048576 characters of resource names of one session');
      one.take({ typeUrl, resourceNamesUnsubscribe: names(0, 1000) });
      isFree(budget);
    }
  });

  it('cost nothing once the proxy holds what it should', () => {
    const { budget, subscription: one } = subscription();
    const initialResourceVersions = Object.fromEntries(names(0, 1000).map((name) => [name, '1']));
    one.take({ typeUrl, resourceNamesSubscribe: ['*'], initialResourceVersions });
    expect(() => isFree(budget)).toThrow('limit');
    const changes = one.changes(ResourceSet.EMPTY);
    expect(changes.removed.length).toBe(1000);
    one.offered('a', changes);
    one.take({ typeUrl, responseNonce: 'a' });
    expect(one.changes(ResourceSet.EMPTY)).toEqual({ upserts: [], removed: [] });
    isFree(budget);
  });

  it('of resources that it holds cost nothing, and their versions are compared all the same', () => {
    const { budget, subscription: one } = subscription();
    const [same, other] = names(0, 2).map((name) => new SharedResource('clusters', { name }));
    const resources = new ResourceSet([new Map([same!, other!].map((resource) => [resource.name, resource]))]);
    one.take({ typeUrl, resourceNamesSubscribe: ['*'] });
    one.offered('a', one.changes(resources));
    one.take({ typeUrl, responseNonce: 'a' });
    expect(one.changes(resources).upserts).toEqual([]);
    one.take({ typeUrl, initialResourceVersions: { [same!.name]: same!.version, [other!.name]: 'another' } });
    isFree(budget);
    expect(one.changes(resources)).toEqual({ upserts: [other], removed: [] });
  });

  it('are refused beyond the limit, and when one is too long', () => {
    const { subscription: one } = subscription();
    expect(() => one.take({ typeUrl, resourceNamesSubscribe: names(0, 10_000) })).toThrow(
      'the limit of 1048576 characters of resource names of one session is reached',
    );
    const long = 'n'.repeat(1025);
    for (const request of [{ resourceNamesSubscribe: [long] }, { initialResourceVersions: { [long]: '1' } }])
      expect(() => new Subscription().take({ typeUrl, ...request })).toThrow(
        `${typeUrl}: a resource name of more than 1024 characters`,
      );
  });
});

describe('of sessions of one identity', () => {
  const limits: Partial<SessionLimits> = { names: { perSession: 10_000, perIdentity: 25_000, total: 40_000 } };
  const table = () => new SessionTable({ limits, ttlMs: 1000, onForget: () => {} });
  const request = (count: number): DeltaDiscoveryRequest[] => [{ typeUrl, resourceNamesSubscribe: names(0, count) }];
  const node = (i: number): Node => ({ id: `sidecar~10.0.0.${i}~x.shop~shop.svc.cluster.local` });
  const opened = (sessions: SessionTable, i: number, account: string) => {
    const owner = `spiffe://cluster.local/ns/shop/sa/${account}`;
    const session = new Session(`${account}${i}`, owner, node(i), 0, limits.names!.perSession);
    sessions.add(session, 0);
    return session;
  };

  it('names count together, also those of all identities', () => {
    const sessions = table();
    // A name that is subscribed to is kept twice: 60 names are 8 000 characters.
    for (const i of [0, 1, 2]) opened(sessions, i, 'web').take(request(60));
    expect(() => opened(sessions, 3, 'web').take(request(60))).toThrow(
      'of resource names of one identity (spiffe://cluster.local/ns/shop/sa/web) is reached',
    );
    opened(sessions, 4, 'cart').take(request(60));
    expect(() => opened(sessions, 5, 'cart').take(request(60))).toThrow(
      'of resource names of this control plane is reached',
    );
  });

  it('names of a session that is forgotten count no longer', () => {
    const sessions = table();
    for (let i = 0; i < 50; i++) {
      const session = opened(sessions, i, 'web');
      session.take(request(60));
      sessions.forget(session);
    }
  });
});
