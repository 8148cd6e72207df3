/** What of the traffic of a joined machine passes its proxy. */
import { type Finding, failure, ok, warning } from '../../../machine/checks/finding.ts';
import type { MachineRecord } from '../../../machine/join/record.ts';
import { HTTP_PROXY_PORT } from '../../../machine/service/proxy-flags.ts';

type Described = Pick<MachineRecord, 'capture' | 'dns' | 'group' | 'ports' | 'ipv6'>;

/** One line for the user that joins the machine. */
export function coverageText({ capture, dns, group, ports }: Described): string {
  if (!capture) return `nothing: applications use http_proxy=http://127.0.0.1:${HTTP_PROXY_PORT}`;
  const outbound = `all TCP that applications send${dns ? ', names' : ''}`;
  const listed = portsOf(ports);
  if (listed.length > 0) return `${outbound}, and what arrives at ${listed.join(', ')}`;
  return group === undefined
    ? `${outbound}; nothing that arrives`
    : `${outbound}; nothing that arrives: ${withoutPorts(group)}; ${PORTS_REMEDY}`;
}

/** @param hasIpv6 whether the host has it now */
export function coverageFindings({ group, ports, ipv6 }: Described, hasIpv6: boolean): Finding[] {
  const families = 'connections of every IP version are redirected';
  const arriving = 'what arrives at the ports of the workload is redirected';
  return [
    hasIpv6 && !ipv6
      ? failure(
          families,
          'IPv6 is enabled, and was not when the machine joined: its connections pass by the proxy, without mTLS and policies',
          'run "tulle leave" and join again, or disable IPv6 (sysctl net.ipv6.conf.all.disable_ipv6=1)',
        )
      : ok(families),
    ...(group === undefined
      ? []
      : [portsOf(ports).length === 0 ? warning(arriving, withoutPorts(group), PORTS_REMEDY) : ok(arriving)]),
  ];
}

const PORTS_REMEDY = 'give it template.ports, then run "tulle leave" and join again';

const withoutPorts = (group: string): string => `WorkloadGroup "${group}" had no ports when the machine joined`;

const portsOf = (ports: Described['ports']): number[] => [...new Set(Object.values(ports))].sort((a, b) => a - b);
