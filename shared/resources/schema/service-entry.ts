/** The schema of ServiceEntry's spec, field for field (istio.io/latest/docs/reference/config/networking/service-entry). */
import type { z } from 'zod';
import { WorkloadEntrySpec, WorkloadSelector } from './common.ts';
import * as rules from './rules/rules.ts';
import { integer, list, listMap, object, oneOfNames, string, withRules } from './vocabulary.ts';

const port = () => withRules(integer({ min: 0, max: 4294967295 }), rules.port);

export const ServiceEntryPort = object(
  {
    name: string({ max: 256 }).describe('Name of the port; no two ports have the same.'),
    number: port().describe('Port clients use, 1 to 65535; no two ports have the same.'),
    protocol: string({ max: 256 }).describe(
      'HTTP, HTTPS, HTTP2, GRPC, TLS, TCP or MONGO. Default: found out from the traffic.',
    ),
    targetPort: port().describe('Port of the endpoints. Default: number.'),
  },
  ['number', 'name'],
);
export type ServiceEntryPort = z.infer<typeof ServiceEntryPort>;

export const ServiceEntrySpec = withRules(
  object(
    {
      addresses: list(string({ max: 64 }).describe('IP address, or CIDR range with resolution NONE and STATIC.'), {
        max: 256,
      }).describe('Virtual addresses of the service. TCP ports need one to be distinguished.'),
      endpoints: list(WorkloadEntrySpec, { max: 4096 }).describe(
        'Where the service runs, with resolution STATIC and DNS. Cannot be combined with workloadSelector.',
      ),
      exportTo: list(string().describe('A namespace, "." for the own one, "*" for all, "~" for none.')).describe(
        'Namespaces that the service is visible in. Default: all, or as in the mesh config.',
      ),
      hosts: list(withRules(string(), rules.namedHost), { min: 1, max: 256 }).describe(
        'Domain names of the service, *.example.com too; matched with the Host header, or the SNI of TLS.',
      ),
      location: oneOfNames(['MESH_EXTERNAL', 'MESH_INTERNAL']).describe(
        'Whether its workloads are part of the mesh, so that mTLS and policies apply. Default: MESH_EXTERNAL.',
      ),
      ports: withRules(listMap(ServiceEntryPort, ['name'], { max: 256 }), rules.portsOnce).describe(
        'Ports of the service.',
      ),
      resolution: oneOfNames(['NONE', 'STATIC', 'DNS', 'DNS_ROUND_ROBIN', 'DYNAMIC_DNS']).describe(
        'How endpoints are found. NONE: the address the client wanted. STATIC: endpoints, or the selected workloads. DNS: names are looked up, all answers are used. DNS_ROUND_ROBIN: one answer for each new connection. DYNAMIC_DNS: the name of the request is looked up, for wildcard hosts. Default: NONE.',
      ),
      subjectAltNames: list(string()).describe("The endpoints' certificates must have one of these names."),
      workloadSelector: WorkloadSelector.describe(
        'Pods and WorkloadEntries of the namespace that are its endpoints, by labels.',
      ),
    },
    ['hosts'],
  ),
  rules.selectorOrEndpoints,
  rules.cidrResolution,
  rules.noneWithoutEndpoints,
  rules.roundRobinEndpoints,
);
export type ServiceEntrySpec = z.infer<typeof ServiceEntrySpec>;
