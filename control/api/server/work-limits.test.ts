import { expect, it } from 'vitest';
import { ApiError } from '../resources/status.ts';
import { WorkLimits } from './work-limits.ts';

const settings = {
  source: { burst: 10, perSecond: 2 },
  total: { burst: 25, perSecond: 5 },
  failureCost: 5,
  running: 2,
  waitingOfSource: 2,
  waiting: 3,
};

it('limits how often a source asks, and takes it again after the time that it names', () => {
  let now = 0;
  const limits = new WorkLimits(settings, () => now);
  for (let i = 0; i < 10; i++) limits.admit('10.0.0.1');
  expect(() => limits.admit('10.0.0.1')).toThrow(/attempt it again in 1 s/);
  limits.admit('10.0.0.2');
  now += 500;
  limits.admit('10.0.0.1');
  expect(() => limits.admit('::ffff:10.0.0.1')).toThrow(ApiError);
});

it('counts a failure for several requests, of its source alone', () => {
  const limits = new WorkLimits(settings, () => 0);
  for (let i = 0; i < 2; i++) {
    limits.admit('10.0.0.1');
    limits.failed('10.0.0.1');
  }
  expect(() => limits.admit('10.0.0.1')).toThrow(/often/);
  for (let i = 0; i < 10; i++) limits.admit('10.0.0.2');
});

it('limits all sources together', () => {
  const limits = new WorkLimits(settings, () => 0);
  for (let i = 0; i < 25; i++) limits.admit(`10.0.0.${i}`);
  expect(() => limits.admit('10.0.1.1')).toThrow(/often/);
});

it('takes the addresses of one IPv6 network for one source', () => {
  const limits = new WorkLimits(settings, () => 0);
  for (let i = 0; i < 10; i++) limits.admit(`2001:db8::${i}`);
  expect(() => limits.admit('2001:db8::ffff')).toThrow(/often/);
});

it('works on some at a time, lets some wait, and refuses the others', async () => {
  const limits = new WorkLimits(settings, () => 0);
  const ends: (() => void)[] = [];
  let running = 0;
  let most = 0;
  const work = async () => {
    most = Math.max(most, ++running);
    await new Promise<void>((end) => void ends.push(end));
    running -= 1;
  };
  const all = [1, 2, 3, 4].map(() => limits.run('10.0.0.1', work));
  await expect(limits.run('10.0.0.1', work)).rejects.toMatchObject({ code: 503 });
  all.push(limits.run('10.0.0.2', work));
  await expect(limits.run('10.0.0.3', work)).rejects.toMatchObject({ code: 503 });
  for (let i = 0; i < 5; i++) {
    ends.shift()!();
    await new Promise((next) => setImmediate(next));
  }
  await Promise.all(all);
  expect({ most, running }).toEqual({ most: 2, running: 0 });
});

it('gives the place of failed work to the next', async () => {
  const limits = new WorkLimits({ ...settings, running: 1 }, () => 0);
  const failing = limits.run('10.0.0.1', () => Promise.reject(new Error('no')));
  const next = limits.run('10.0.0.1', async () => 'done');
  await expect(failing).rejects.toThrow('no');
  expect(await next).toBe('done');
  expect(await limits.run('10.0.0.1', async () => 'again')).toBe('again');
});
