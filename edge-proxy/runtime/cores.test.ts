import { availableParallelism } from 'node:os';
import { expect, it } from 'vitest';
import { cores } from './cores.ts';

const reading = (files: Record<string, string>) => (path: string) => files[path];

it.each([
  ['no control groups', {}, 8],
  ['cgroup v1 alone', { '/proc/self/cgroup': '2:cpu:/x\n' }, 8],
  ['no quota', { '/proc/self/cgroup': '0::/\n', '/sys/fs/cgroup/cpu.max': 'max 100000\n' }, 8],
  ['a container', { '/proc/self/cgroup': '0::/\n', '/sys/fs/cgroup/cpu.max': '150000 100000\n' }, 2],
  ['a tenth of a core', { '/proc/self/cgroup': '0::/\n', '/sys/fs/cgroup/cpu.max': '10000 100000\n' }, 1],
  ['more than there are', { '/proc/self/cgroup': '0::/\n', '/sys/fs/cgroup/cpu.max': '9900000 100000\n' }, 8],
  [
    'a unit in a slice with less',
    {
      '/proc/self/cgroup': '1:name=systemd:/x\n0::/a.slice/b.service\n',
      '/sys/fs/cgroup/a.slice/b.service/cpu.max': '600000 100000\n',
      '/sys/fs/cgroup/a.slice/cpu.max': '300000 100000\n',
    },
    3,
  ],
  ['what cannot be read', { '/proc/self/cgroup': '0::/\n', '/sys/fs/cgroup/cpu.max': 'many\n' }, 8],
  ['a period of nothing', { '/proc/self/cgroup': '0::/\n', '/sys/fs/cgroup/cpu.max': '1 0\n' }, 8],
])('%s', (_, files, wanted) => expect(cores(reading(files), 8)).toBe(wanted));

it('of this machine there are some', () => {
  expect(cores()).toBeGreaterThanOrEqual(1);
  expect(cores()).toBeLessThanOrEqual(availableParallelism());
});
