import { expect, it } from 'vitest';
import type { Resource } from '../../shared/resources/resource.ts';
import type { Finding } from '../compile/output/finding.ts';
import { MeshIndex } from '../mesh/mesh-index.ts';
import { reportFieldFindings } from './field-findings.ts';

const filter = (name: string): Resource => ({
  apiVersion: 'networking.istio.io/v1alpha3',
  kind: 'EnvoyFilter',
  metadata: { name, namespace: 'default' },
  spec: { configPatches: [{ applyTo: 'CLUSTER', match: { listener: { portName: 'http' } } }] },
});

it('reads the resources that a step wrote, and no others', () => {
  const read: string[] = [];
  const counted = (name: string): Resource => {
    const get = () => {
      read.push(name);
      return {};
    };
    const resource = filter(name);
    Object.defineProperty(resource.metadata, 'annotations', { enumerable: true, get });
    return resource;
  };
  const stored = Array.from({ length: 500 }, (_, i) => counted(`stored-${i}`));
  const index = new MeshIndex();
  const start = index.apply({ removed: [], added: stored }, 1);
  expect(start.change.written).toHaveLength(500);
  const [replaced, deleted] = stored as [Resource, Resource];
  const step = index.apply({ removed: [replaced, deleted], added: [counted('stored-0'), counted('new')] }, 2);
  read.length = 0;
  const lines: string[] = [];
  const reported = new Map<object | string, readonly Finding[]>();
  const status = { report: (by: object | string, findings: readonly Finding[]) => void reported.set(by, findings) };
  reportFieldFindings(step.change, { log: (line) => lines.push(line), status });
  expect(new Set(read)).toEqual(new Set(['stored-0', 'new']));
  expect(lines).toEqual([
    'EnvoyFilter default/stored-0: spec.configPatches[0].match.listener.portName: has no effect, as in Istio: use portNumber or name',
    'EnvoyFilter default/new: spec.configPatches[0].match.listener.portName: has no effect, as in Istio: use portNumber or name',
  ]);
  const by = (name: string) => `fields of EnvoyFilter.networking.istio.io default/${name}`;
  const message = 'spec.configPatches[0].match.listener.portName: has no effect, as in Istio: use portNumber or name';
  const finding = (about: unknown) => [{ about, reason: 'FieldWithoutEffect', message }];
  expect(new Map(reported)).toEqual(
    new Map<string, unknown>([
      [by('stored-0'), finding(step.change.written[0])],
      [by('new'), finding(step.change.written[1])],
      [by('stored-1'), []],
    ]),
  );
});

it('ends with how many lines are left out', () => {
  const lines: string[] = [];
  const written = Array.from({ length: 203 }, (_, i) => filter(`p-${i}`));
  reportFieldFindings({ written, deleted: [] }, { log: (line) => lines.push(line), status: { report: () => {} } });
  expect(lines).toHaveLength(201);
  expect(lines.at(-1)).toBe('3 more parts of resources have no effect: see tulle validate');
});
