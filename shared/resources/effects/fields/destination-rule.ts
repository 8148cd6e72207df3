/** What the fields of DestinationRule do. */
import { as, differs, type FieldTable, inForce, reported } from '../field-table.ts';
import { STATUS } from './status.ts';

const EGRESS = 'tests/interop/compiled/egress.test.ts';
const TRANSPORTS = 'tests/interop/upstream/upstream-transports.test.ts';
const UPSTREAMS = 'tests/interop/compiled/upstreams-compiled.test.ts';
const FIELDS = 'control/compile/cluster/destination-rule.test.ts';
const POLICY = 'spec.trafficPolicy';
const KERNEL = 'in force in Envoy; in the proxies of Tulle the value of the kernel holds, as runtimes cannot set it';

export const DESTINATION_RULE_FIELDS: FieldTable = {
  ...STATUS,
  'spec.host': inForce('golden:dr-connection-pool', 'golden:dr-merge-same-host'),
  'spec.exportTo[]': inForce(FIELDS),
  'spec.workloadSelector.**': inForce(FIELDS, EGRESS, 'golden:dr-workload-selector'),
  'spec.subsets[].name': inForce('golden:dr-subset-policy'),
  'spec.subsets[].labels{}': inForce('golden:dr-subset-policy'),
  'spec.subsets[].trafficPolicy.**': as(POLICY),
  'spec.trafficPolicy.portLevelSettings[].**': as(POLICY),
  'spec.trafficPolicy.portLevelSettings[].port.**': inForce('golden:dr-subset-policy'),
  'spec.trafficPolicy.connectionPool.**': inForce(FIELDS, 'golden:dr-connection-pool', 'golden:dr-h2-upgrade-host'),
  'spec.trafficPolicy.connectionPool.tcp.tcpKeepalive.interval': differs(KERNEL, FIELDS),
  'spec.trafficPolicy.connectionPool.tcp.tcpKeepalive.probes': differs(KERNEL, FIELDS),
  'spec.trafficPolicy.connectionPool.http.http2KeepAlive.**': inForce(FIELDS, 'tests/e2e/http2.test.ts'),
  'spec.trafficPolicy.loadBalancer.simple': inForce('golden:dr-lb-simple'),
  'spec.trafficPolicy.loadBalancer.backendUtilization.**': reported(
    'has no effect yet: endpoints do not report their utilization',
  ),
  'spec.trafficPolicy.loadBalancer.consistentHash.**': inForce(FIELDS, UPSTREAMS),
  'spec.trafficPolicy.loadBalancer.consistentHash.httpHeaderName': inForce('golden:dr-hash-header', UPSTREAMS),
  'spec.trafficPolicy.loadBalancer.localityLbSetting.**': inForce(
    FIELDS,
    'control/compile/cluster/locality-lb.test.ts',
  ),
  'spec.trafficPolicy.loadBalancer.localityLbSetting.failoverPriority[]': inForce(
    'golden:dr-locality-failover-priority',
  ),
  'spec.trafficPolicy.loadBalancer.warmup.**': inForce(FIELDS, 'golden:dr-lb-simple'),
  'spec.trafficPolicy.loadBalancer.warmupDurationSecs': inForce(FIELDS),
  'spec.trafficPolicy.loadBalancer.zoneAwareLbSetting.**': inForce(
    FIELDS,
    'control/compile/cluster/zone-aware.test.ts',
    'tests/interop/upstream/zone-aware.test.ts',
  ),
  'spec.trafficPolicy.outlierDetection.**': inForce(FIELDS, 'golden:dr-outlier'),
  'spec.trafficPolicy.proxyProtocol.**': inForce(FIELDS, TRANSPORTS, EGRESS),
  'spec.trafficPolicy.outlierDetection.outlierDetectionHttpErrorCodes[]': inForce(FIELDS, TRANSPORTS),
  'spec.trafficPolicy.retryBudget.budgetInterval': inForce(FIELDS, TRANSPORTS),
  'spec.trafficPolicy.retryBudget.**': inForce(FIELDS, 'golden:dr-retry-budget'),
  'spec.trafficPolicy.tls.**': inForce(FIELDS, EGRESS, 'golden:dr-tls-credential-gateway', 'golden:dr-tls-simple'),
  'spec.trafficPolicy.tunnel.**': inForce(FIELDS, TRANSPORTS, EGRESS),
};
