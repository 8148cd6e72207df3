/**
 * Messages of k8s.io/api (core/v1, discovery/v1, events/v1, rbac/v1) and apimachinery (meta/v1), by their generated.proto: the
 * kinds that typed clients send in protobuf.
 */
import { reviewMessages } from './review-messages.ts';
import { base64, flag, list, type Message, map, message, one, type Read, text, whole } from './wire.ts';

const TIME = message({ 1: one('seconds', whole), 2: one('nanos', whole) });
/** The seconds that a JavaScript date can hold. */
const MAX_SECONDS = 8.64e12;

/** Go writes a time that is not set as an empty message: null. */
const time: Read = (value) => {
  const { seconds } = TIME(value) as { seconds?: number };
  return seconds === undefined || Math.abs(seconds) > MAX_SECONDS
    ? null
    : `${new Date(seconds * 1000).toISOString().slice(0, 19)}Z`;
};
/** RFC 3339 with microseconds. */
const microTime: Read = (value) => {
  const whole = time(value);
  if (whole === null) return null;
  const { nanos = 0 } = TIME(value) as { nanos?: number };
  return `${String(whole).slice(0, 19)}.${String(Math.floor(nanos / 1000)).padStart(6, '0')}Z`;
};

const intOrString: Read = (value) => {
  const read = message({ 1: one('type', whole), 2: one('intVal', whole), 3: one('strVal', text) });
  const { type = 0, intVal = 0, strVal = '' } = read(value) as { type?: number; intVal?: number; strVal?: string };
  return type === 1 ? strVal : intVal;
};

const ownerReference = message({
  1: one('kind', text),
  3: one('name', text),
  4: one('uid', text),
  5: one('apiVersion', text),
  6: one('controller', flag),
  7: one('blockOwnerDeletion', flag),
});
/** The server writes these itself; those of a body only have to be readable. */
const managedFields = message({
  1: one('manager', text),
  2: one('operation', text),
  3: one('apiVersion', text),
  4: one('time', time),
  6: one('fieldsType', text),
  7: one('fieldsV1', message({ 1: one('raw', text) })),
  8: one('subresource', text),
});
const metadata = message({
  1: one('name', text),
  2: one('generateName', text),
  3: one('namespace', text),
  4: one('selfLink', text),
  5: one('uid', text),
  6: one('resourceVersion', text),
  7: one('generation', whole),
  8: one('creationTimestamp', time),
  9: one('deletionTimestamp', time),
  10: one('deletionGracePeriodSeconds', whole),
  11: map('labels', text),
  12: map('annotations', text),
  13: list('ownerReferences', ownerReference),
  14: list('finalizers', text),
  17: list('managedFields', managedFields),
});

const namedReference = message({ 1: one('name', text) });
const objectReference = message({
  1: one('kind', text),
  2: one('namespace', text),
  3: one('name', text),
  4: one('uid', text),
  5: one('apiVersion', text),
  6: one('resourceVersion', text),
  7: one('fieldPath', text),
});
const condition = message({
  1: one('type', text),
  2: one('status', text),
  3: one('observedGeneration', whole),
  4: one('lastTransitionTime', time),
  5: one('reason', text),
  6: one('message', text),
});

const serviceSpec = message({
  1: list(
    'ports',
    message({
      1: one('name', text),
      2: one('protocol', text),
      3: one('port', whole),
      4: one('targetPort', intOrString),
      5: one('nodePort', whole),
      6: one('appProtocol', text),
    }),
  ),
  2: map('selector', text),
  3: one('clusterIP', text),
  4: one('type', text),
  5: list('externalIPs', text),
  7: one('sessionAffinity', text),
  8: one('loadBalancerIP', text),
  9: list('loadBalancerSourceRanges', text),
  10: one('externalName', text),
  11: one('externalTrafficPolicy', text),
  12: one('healthCheckNodePort', whole),
  13: one('publishNotReadyAddresses', flag),
  14: one('sessionAffinityConfig', message({ 1: one('clientIP', message({ 1: one('timeoutSeconds', whole) })) })),
  17: one('ipFamilyPolicy', text),
  18: list('clusterIPs', text),
  19: list('ipFamilies', text),
  20: one('allocateLoadBalancerNodePorts', flag),
  21: one('loadBalancerClass', text),
  22: one('internalTrafficPolicy', text),
  23: one('trafficDistribution', text),
});
const ingress = message({
  1: one('ip', text),
  2: one('hostname', text),
  3: one('ipMode', text),
  4: list('ports', message({ 1: one('port', whole), 2: one('protocol', text), 3: one('error', text) })),
});
const serviceStatus = message({
  1: one('loadBalancer', message({ 1: list('ingress', ingress) })),
  2: list('conditions', condition),
});

const sliceEndpoint = message({
  1: list('addresses', text),
  2: one('conditions', message({ 1: one('ready', flag), 2: one('serving', flag), 3: one('terminating', flag) })),
  3: one('hostname', text),
  4: one('targetRef', objectReference),
  5: map('deprecatedTopology', text),
  6: one('nodeName', text),
  7: one('zone', text),
  8: one('hints', message({ 1: list('forZones', namedReference), 2: list('forNodes', namedReference) })),
});
const endpointPort = message({
  1: one('name', text),
  2: one('protocol', text),
  3: one('port', whole),
  4: one('appProtocol', text),
});

const eventSource = message({ 1: one('component', text), 2: one('host', text) });
const eventSeries = message({ 1: one('count', whole), 2: one('lastObservedTime', microTime) });

const rules = list(
  'rules',
  message({
    1: list('verbs', text),
    2: list('apiGroups', text),
    3: list('resources', text),
    4: list('resourceNames', text),
    5: list('nonResourceURLs', text),
  }),
);
const labelSelector = message({
  1: map('matchLabels', text),
  2: list('matchExpressions', message({ 1: one('key', text), 2: one('operator', text), 3: list('values', text) })),
});
const roleBinding: Message = {
  1: one('metadata', metadata),
  2: list(
    'subjects',
    message({ 1: one('kind', text), 2: one('apiGroup', text), 3: one('name', text), 4: one('namespace', text) }),
  ),
  3: one('roleRef', message({ 1: one('apiGroup', text), 2: one('kind', text), 3: one('name', text) })),
};

/** Options of a deletion, which clients send in the version of what they delete. */
export const DELETE_OPTIONS: Message = {
  1: one('gracePeriodSeconds', whole),
  2: one('preconditions', message({ 1: one('uid', text), 2: one('resourceVersion', text) })),
  3: one('orphanDependents', flag),
  4: one('propagationPolicy', text),
  5: list('dryRun', text),
  6: one('ignoreStoreReadErrorWithClusterBreakingPotential', flag),
};

/** By apiVersion and kind. */
export const KINDS: Readonly<Record<string, Message>> = {
  'v1/Namespace': {
    1: one('metadata', metadata),
    2: one('spec', message({ 1: list('finalizers', text) })),
    3: one('status', message({ 1: one('phase', text) })),
  },
  'v1/ConfigMap': {
    1: one('metadata', metadata),
    2: map('data', text),
    3: map('binaryData', base64),
    4: one('immutable', flag),
  },
  'v1/Secret': {
    1: one('metadata', metadata),
    2: map('data', base64),
    3: one('type', text),
    4: map('stringData', text),
    5: one('immutable', flag),
  },
  'v1/ServiceAccount': {
    1: one('metadata', metadata),
    2: list('secrets', objectReference),
    3: list('imagePullSecrets', namedReference),
    4: one('automountServiceAccountToken', flag),
  },
  'v1/Service': { 1: one('metadata', metadata), 2: one('spec', serviceSpec), 3: one('status', serviceStatus) },
  'discovery.k8s.io/v1/EndpointSlice': {
    1: one('metadata', metadata),
    2: list('endpoints', sliceEndpoint),
    3: list('ports', endpointPort),
    4: one('addressType', text),
  },
  'v1/Event': {
    1: one('metadata', metadata),
    2: one('involvedObject', objectReference),
    3: one('reason', text),
    4: one('message', text),
    5: one('source', eventSource),
    6: one('firstTimestamp', time),
    7: one('lastTimestamp', time),
    8: one('count', whole),
    9: one('type', text),
    10: one('eventTime', microTime),
    11: one('series', eventSeries),
    12: one('action', text),
    13: one('related', objectReference),
    14: one('reportingComponent', text),
    15: one('reportingInstance', text),
  },
  'events.k8s.io/v1/Event': {
    1: one('metadata', metadata),
    2: one('eventTime', microTime),
    3: one('series', eventSeries),
    4: one('reportingController', text),
    5: one('reportingInstance', text),
    6: one('action', text),
    7: one('reason', text),
    8: one('regarding', objectReference),
    9: one('related', objectReference),
    10: one('note', text),
    11: one('type', text),
    12: one('deprecatedSource', eventSource),
    13: one('deprecatedFirstTimestamp', time),
    14: one('deprecatedLastTimestamp', time),
    15: one('deprecatedCount', whole),
  },
  'rbac.authorization.k8s.io/v1/Role': { 1: one('metadata', metadata), 2: rules },
  'rbac.authorization.k8s.io/v1/ClusterRole': {
    1: one('metadata', metadata),
    2: rules,
    3: one('aggregationRule', message({ 1: list('clusterRoleSelectors', labelSelector) })),
  },
  'rbac.authorization.k8s.io/v1/RoleBinding': roleBinding,
  'rbac.authorization.k8s.io/v1/ClusterRoleBinding': roleBinding,
  ...reviewMessages(metadata),
};
