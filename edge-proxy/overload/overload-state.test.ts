import { expect, it } from 'vitest';
import { OverloadState } from './overload-state.ts';

it('shares fall on what is drawn below them, and nothing is drawn where there is none', () => {
  const draws: number[] = [];
  let drawn = 0;
  const state = new OverloadState(() => {
    drawn++;
    return draws.shift()!;
  });
  expect([state.refusesConnection(), state.refusesRequest(), state.endsConnection(), drawn]).toEqual([
    false,
    false,
    false,
    0,
  ]);
  state.stopAcceptingRequests = 0.5;
  state.accept.share = 0.25;
  draws.push(0.499, 0.5, 0.249, 0.25);
  expect([state.refusesRequest(), state.refusesRequest()]).toEqual([true, false]);
  expect([state.refusesConnection(), state.refusesConnection()]).toEqual([true, false]);
});
