import type { Findings } from '../kind.ts';
import type { WorkloadGroupSpec } from '../schema/workload-group.ts';
import { Report } from '../violations.ts';
import { checkLabels } from './primitives.ts';

/** Rules of WorkloadGroup beyond its schema. */
export function checkWorkloadGroup(spec: WorkloadGroupSpec): Findings {
  const report = new Report();
  checkLabels(report, 'spec.metadata.labels', spec.metadata?.labels);
  const { probe } = spec;
  if (probe && !probe.httpGet && !probe.tcpSocket && !probe.exec && !probe.grpc) {
    report.violation('spec.probe', 'workloadgroup.probe', 'must have one of httpGet, tcpSocket, exec, grpc');
  }
  return report.findings;
}
