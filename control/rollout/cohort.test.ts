import { describe, expect, it } from 'vitest';
import { boundaryOf, cohortNumber, isInCohort } from './cohort.ts';

const ids = (count: number, from = 0) =>
  [...Array(count).keys()].map((i) => ({ id: `sidecar~10.0.0.${from + i}~app.shop~x` }));
const rollout = (step: number, boundary = 0, steps: { percent?: number; labels?: Record<string, string> }[] = []) => ({
  ...{ kind: 'VirtualService', namespace: 'shop', name: 'web', step, boundary },
  steps: steps.map((each) => ({ durationMs: 1, ...each })),
});

describe('cohorts', () => {
  it('numbers are the same in every process, and evenly spread also for ids that differ little', () => {
    expect(cohortNumber('salt', 'sidecar~10.0.0.1~app.shop~x')).toBe(
      cohortNumber('salt', 'sidecar~10.0.0.1~app.shop~x'),
    );
    // Written down: another number would move proxies between cohorts at an upgrade.
    expect(cohortNumber('a', 'b')).toBe(0.42166790389455855);
    const tenths = Array.from({ length: 10 }, () => 0);
    for (const { id } of ids(10_000)) tenths[Math.min(9, Math.floor(cohortNumber('salt', id) * 10))]! += 1;
    for (const count of tenths) expect(Math.abs(count - 1000)).toBeLessThan(150);
  });

  it.each([
    [1, 10, 1],
    [10, 10, 1],
    [25, 10, 3],
    [50, 10, 5],
    [1, 1000, 10],
    [100, 10, 10],
  ])('%d percent of %d proxies are %d', (percent, of, expected) => {
    const proxies = ids(of);
    const boundary = boundaryOf(rollout(0, 0, [{ percent }]), proxies);
    const members = proxies.filter(({ id }) => isInCohort(rollout(0, boundary, [{ percent }]), { id, labels: {} }));
    expect(members).toHaveLength(expected);
  });

  it('a later step keeps the proxies of the one before, whatever proxies there are by then', () => {
    const steps = [{ percent: 50 }, { percent: 60 }];
    const first = boundaryOf(rollout(0, 0, steps), ids(10));
    expect(boundaryOf(rollout(1, first, steps), ids(3, 500))).toBeGreaterThanOrEqual(first);
  });

  it('a step by labels adds the proxies that have them', () => {
    const steps = [{ labels: { tier: 'canary' } }, { percent: 100 }];
    const at = rollout(0, 0, steps);
    expect(boundaryOf(at, ids(10))).toBe(0);
    expect(isInCohort(at, { id: 'x', labels: { tier: 'canary', more: '1' } })).toBe(true);
    expect(isInCohort(at, { id: 'x', labels: {} })).toBe(false);
  });
});
