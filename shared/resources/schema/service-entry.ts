/** The schema of ServiceEntry's spec, field for field (istio.io/latest/docs/reference/config). */
import type { z } from 'zod';
import { WorkloadEntrySpec, WorkloadSelector } from './common.ts';
import { integer, list, object, oneOfNames, string } from './vocabulary.ts';

export const ServiceEntryPort = object(
  {
    name: string({ max: 256 }),
    number: integer({ min: 0, max: 4294967295 }),
    protocol: string({ max: 256 }),
    targetPort: integer({ min: 0, max: 4294967295 }),
  },
  ['number', 'name'],
);
export type ServiceEntryPort = z.infer<typeof ServiceEntryPort>;

export const ServiceEntrySpec = object(
  {
    addresses: list(string({ max: 64 }), { max: 256 }),
    endpoints: list(WorkloadEntrySpec, { max: 4096 }),
    exportTo: list(string()),
    hosts: list(string(), { min: 1, max: 256 }),
    location: oneOfNames(['MESH_EXTERNAL', 'MESH_INTERNAL']),
    ports: list(ServiceEntryPort, { max: 256 }),
    resolution: oneOfNames(['NONE', 'STATIC', 'DNS', 'DNS_ROUND_ROBIN', 'DYNAMIC_DNS']),
    subjectAltNames: list(string()),
    workloadSelector: WorkloadSelector,
  },
  ['hosts'],
);
export type ServiceEntrySpec = z.infer<typeof ServiceEntrySpec>;
