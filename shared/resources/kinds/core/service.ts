import { isIpAddress } from '../../../match/cidr.ts';
import { AGE, column } from '../../describe/columns.ts';
import type { PrinterColumn } from '../../kind.ts';
import { defineKind, type ResourceOf } from '../../kind.ts';
import { ServiceBody, type ServiceSpec } from '../../schema/core.ts';
import { Report } from '../../violations.ts';

export const service = defineKind({
  kind: 'Service',
  group: '',
  versions: ['v1'],
  plural: 'services',
  singular: 'service',
  shortNames: ['svc'],
  categories: ['all'],
  namespaced: true,
  body: ServiceBody,
  check: (resource) => {
    const report = new Report();
    const { name } = resource.metadata;
    // A DNS label that begins with a letter (RFC 1035), which Kubernetes requires only of Services.
    if (name && !/^[a-z]([a-z0-9-]{0,61}[a-z0-9])?$/.test(name)) {
      const message = `"${name}" must be a DNS label: lower case letters, digits and "-", a letter first`;
      report.violation('metadata.name', 'metadata.name', message);
    }
    if (resource.spec) checkSpec(report, resource.spec);
    else report.warn('spec', 'required', 'is missing: the service has no ports');
    return report.findings;
  },
  columns: [
    printed('Type', '.spec.type', 'How the service is exposed', ({ type = 'ClusterIP' }) => type),
    printed('Cluster-IP', '.spec.clusterIP', 'Virtual IP', ({ clusterIP }) => clusterIP || NONE),
    printed('External-IP', '.spec.externalIPs', 'Further addresses', externalAddresses),
    printed('Port(s)', '.spec.ports[*].port', 'Ports of the service', portsText),
    AGE,
    {
      ...printed('Selector', '.spec.selector', 'Labels of its workloads', ({ selector = {} }) => {
        const labels = Object.entries(selector).map(([key, value]) => `${key}=${value}`);
        return labels.sort().join(',') || NONE;
      }),
      priority: 1,
    },
  ],
  description: 'A named set of workloads, their ports and its virtual address.',
});
export type Service = ResourceOf<typeof service>;

/** As kubectl shows what is not there. */
const NONE = '<none>';

function printed(
  name: string,
  jsonPath: string,
  description: string,
  print: (spec: ServiceSpec, status: unknown) => string,
): PrinterColumn {
  return {
    ...column(name, jsonPath, description),
    print: ({ spec, status }) => print((spec ?? {}) as ServiceSpec, status),
  };
}

function externalAddresses({ type, externalName, externalIPs = [] }: ServiceSpec, status: unknown): string {
  if (type === 'ExternalName') return externalName || NONE;
  const { ingress = [] } =
    (status as { loadBalancer?: { ingress?: { ip?: string; hostname?: string }[] } } | undefined)?.loadBalancer ?? {};
  const balanced = type === 'LoadBalancer' ? ingress.map(({ ip, hostname }) => ip || hostname || '') : [];
  const all = [...balanced, ...externalIPs].filter((address) => address !== '');
  if (all.length > 0) return all.join(',');
  return type === 'LoadBalancer' ? '<pending>' : NONE;
}

function portsText({ ports = [] }: ServiceSpec): string {
  const texts = ports.map(
    ({ port, nodePort, protocol = 'TCP' }) => `${port}${nodePort ? `:${nodePort}` : ''}/${protocol}`,
  );
  return texts.join(',') || NONE;
}

function checkSpec(report: Report, spec: ServiceSpec): void {
  const ports = spec.ports ?? [];
  const headless = spec.clusterIP === 'None';
  if (ports.length === 0 && spec.type !== 'ExternalName' && !headless) {
    report.violation('spec.ports', 'required', 'must have at least one port');
  }
  if (spec.type === 'ExternalName' && !spec.externalName)
    report.violation('spec.externalName', 'required', 'is required');
  const names = new Set<string>();
  const numbers = new Set<string>();
  for (const [i, port] of ports.entries()) {
    const path = `spec.ports[${i}]`;
    const name = port.name ?? '';
    if (ports.length > 1 && name === '')
      report.violation(`${path}.name`, 'required', 'is required when there are several ports');
    if (name !== '' && names.has(name))
      report.violation(`${path}.name`, 'service.port-name', `"${name}" is used twice`);
    names.add(name);
    const number = `${port.protocol ?? 'TCP'}/${port.port}`;
    if (numbers.has(number)) report.violation(`${path}.port`, 'service.port', `${number} is used twice`);
    numbers.add(number);
    checkTargetPort(report, `${path}.targetPort`, port.targetPort);
  }
  const addresses = [...(spec.clusterIPs ?? []), ...(spec.clusterIP ? [spec.clusterIP] : [])];
  for (const address of new Set(addresses)) {
    if (address !== '' && address !== 'None' && !isIpAddress(address)) {
      report.violation('spec.clusterIP', 'service.cluster-ip', `"${address}" is not an IP address`);
    }
  }
}

function checkTargetPort(report: Report, path: string, target: number | string | undefined): void {
  if (typeof target === 'number' && (target < 1 || target > 65535))
    report.violation(path, 'port', 'must be 1 to 65535');
  if (typeof target === 'string' && !/^(?=.*[a-z])[a-z0-9]([a-z0-9-]{0,13}[a-z0-9])?$/.test(target)) {
    report.violation(path, 'port', `"${target}" must be a port number or a port name of at most 15 characters`);
  }
}
