/** How often a proxy is sent the roots and revoked certificates of the mesh, and what it is not answered for. */
import { describe, expect, it, vi } from 'vitest';
import { type DiscoveryPoll, RESOURCE_TYPES, type Snapshot, TYPE_URLS } from '../../shared/xds/discovery.ts';
import { fixedCompile } from '../compile/testing/fixed-compile.ts';
import type { MeshView } from '../mesh/view.ts';
import type { PollAnswer } from './answer.ts';
import { DiscoveryService } from './service.ts';
import { ManualClock } from './testing/manual-clock.ts';

const node = {
  id: 'sidecar~10.0.0.1~a.default~x',
  metadata: { NAMESPACE: 'default', SERVICE_ACCOUNT: 'a' },
  clientFeatures: ['tulle.trust'],
};
const caller = 'spiffe://cluster.local/ns/default/sa/a';

function harness() {
  let step = 1;
  const clock = new ManualClock();
  const listeners = new Set<() => void>();
  const service = new DiscoveryService({
    compile: fixedCompile((): Snapshot => ({ secrets: [], clusters: [], endpoints: [], listeners: [], routes: [] })),
    clock,
    mesh: { current: () => ({ revision: 1 }) as MeshView, onChange: () => () => {} },
    trust: {
      get version() {
        return String(step);
      },
      since: () => ({ version: String(step) }),
      onChange(changed) {
        listeners.add(changed);
        return () => listeners.delete(changed);
      },
    },
  });
  const changeTrust = () => {
    step++;
    for (const changed of listeners) changed();
  };
  const first: DiscoveryPoll = {
    node,
    requests: RESOURCE_TYPES.map((type) => ({ typeUrl: TYPE_URLS[type], resourceNamesSubscribe: ['*'] })),
  };
  const poll = (request: DiscoveryPoll) => service.poll(request, caller, new AbortController().signal);
  return { service, clock, first, poll, changeTrust };
}

describe('the trust of the mesh', () => {
  it('is sent at once, and again when it changes', async () => {
    const { service, first, poll, changeTrust } = harness();
    const opened = await poll(first);
    expect(opened.trust).toEqual({ version: '1' });
    const held = poll({ session: opened.session, node, requests: [], trustVersion: '1' });
    await vi.waitFor(() => expect(service.held).toBe(1));
    changeTrust();
    expect((await held).trust).toEqual({ version: '2' });
    service.close();
  });

  it('is sent once a second at most to a proxy that does not put it in force', async () => {
    const { service, clock, first, poll } = harness();
    const { session } = await poll(first);
    const again = () => poll({ session, node, requests: [] });
    for (let sent = 0; sent < 3; sent++) {
      let answer: PollAnswer | undefined;
      void again().then((one) => (answer = one));
      await vi.waitFor(() => expect(service.held).toBe(1));
      clock.advance(999);
      await Promise.resolve();
      expect(answer).toBeUndefined();
      clock.advance(1);
      await vi.waitFor(() => expect(answer?.trust).toEqual({ version: '1' }));
    }
    service.close();
  });
});
