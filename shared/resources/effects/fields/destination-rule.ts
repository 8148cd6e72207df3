/** What the fields of DestinationRule do. */
import { as, type FieldTable, inForce, reported } from '../field-table.ts';
import { STATUS } from './status.ts';

const UPSTREAMS = 'tests/interop/upstreams-compiled.test.ts';
const POLICY = 'spec.trafficPolicy';

export const DESTINATION_RULE_FIELDS: FieldTable = {
  ...STATUS,
  'spec.host': inForce('golden:dr-connection-pool', 'golden:dr-merge-same-host'),
  'spec.exportTo[]': inForce('golden:dr-tls-credential-gateway'),
  'spec.workloadSelector.**': inForce('golden:dr-workload-selector'),
  'spec.subsets[].name': inForce('golden:dr-subset-policy'),
  'spec.subsets[].labels{}': inForce('golden:dr-subset-policy'),
  'spec.subsets[].trafficPolicy.**': as(POLICY),
  'spec.trafficPolicy.portLevelSettings[].**': as(POLICY),
  'spec.trafficPolicy.portLevelSettings[].port.**': inForce('golden:dr-subset-policy'),
  'spec.trafficPolicy.connectionPool.**': inForce('golden:dr-connection-pool', 'golden:dr-h2-upgrade-host'),
  'spec.trafficPolicy.connectionPool.http.http2KeepAlive.**': inForce('tests/e2e/http2.test.ts'),
  'spec.trafficPolicy.loadBalancer.simple': inForce('golden:dr-lb-simple'),
  'spec.trafficPolicy.loadBalancer.backendUtilization.**': reported(
    'has no effect yet: endpoints do not report their utilization',
  ),
  'spec.trafficPolicy.loadBalancer.consistentHash.**': inForce(UPSTREAMS),
  'spec.trafficPolicy.loadBalancer.consistentHash.httpHeaderName': inForce('golden:dr-hash-header', UPSTREAMS),
  'spec.trafficPolicy.loadBalancer.consistentHash.httpCookie.attributes[].**': inForce(),
  'spec.trafficPolicy.loadBalancer.localityLbSetting.**': inForce('control/compile/cluster/locality-lb.test.ts'),
  'spec.trafficPolicy.loadBalancer.localityLbSetting.failoverPriority[]': inForce(
    'golden:dr-locality-failover-priority',
  ),
  'spec.trafficPolicy.loadBalancer.warmup.**': inForce('golden:dr-lb-simple'),
  'spec.trafficPolicy.loadBalancer.warmupDurationSecs': inForce(),
  'spec.trafficPolicy.loadBalancer.zoneAwareLbSetting.**': reported('has no effect yet: write a localityLbSetting'),
  'spec.trafficPolicy.outlierDetection.**': inForce('golden:dr-outlier'),
  'spec.trafficPolicy.outlierDetection.consecutiveErrors': inForce(),
  'spec.trafficPolicy.outlierDetection.outlierDetectionHttpErrorCodes[]': reported(
    'has no effect yet: consecutive5xxErrors counts status 500 to 599',
  ),
  'spec.trafficPolicy.proxyProtocol.**': reported('has no effect yet: connections are made without PROXY protocol'),
  'spec.trafficPolicy.retryBudget.**': inForce('golden:dr-retry-budget'),
  'spec.trafficPolicy.retryBudget.budgetInterval': reported('has no effect yet: the budget counts requests in flight'),
  'spec.trafficPolicy.tls.**': inForce('golden:dr-tls-credential-gateway', 'golden:dr-tls-simple'),
  'spec.trafficPolicy.tls.caCrl': inForce(),
  'spec.trafficPolicy.tls.clientCertificate': inForce(),
  'spec.trafficPolicy.tls.privateKey': inForce(),
  'spec.trafficPolicy.tunnel.**': reported('has no effect yet: connections are made directly'),
};
