/** Messages of k8s.io/api authentication/v1 and authorization/v1, by their generated.proto. */
import { flag, list, type Message, map, message, one, type Read, text, whole } from './wire.ts';

/** Texts in a message, which in JSON are the list alone. */
const extraValue: Read = (value) => {
  const { items = [] } = message({ 1: list('items', text) })(value) as { items?: string[] };
  return items;
};
const userInfo = message({
  1: one('username', text),
  2: one('uid', text),
  3: list('groups', text),
  4: map('extra', extraValue),
});
const labelRequirement = message({ 1: one('key', text), 2: one('operator', text), 3: list('values', text) });
const selector = message({ 1: one('rawSelector', text), 2: list('requirements', labelRequirement) });
const resourceAttributes = message({
  1: one('namespace', text),
  2: one('verb', text),
  3: one('group', text),
  4: one('version', text),
  5: one('resource', text),
  6: one('subresource', text),
  7: one('name', text),
  8: one('fieldSelector', selector),
  9: one('labelSelector', selector),
});
const access: Message = {
  1: one('resourceAttributes', resourceAttributes),
  2: one('nonResourceAttributes', message({ 1: one('path', text), 2: one('verb', text) })),
};
const accessStatus = message({
  1: one('allowed', flag),
  2: one('reason', text),
  3: one('evaluationError', text),
  4: one('denied', flag),
});

/** By apiVersion and kind. @param metadata reads ObjectMeta */
export function reviewMessages(metadata: Read): Readonly<Record<string, Message>> {
  const review = (spec: Message, status: Read): Message => ({
    1: one('metadata', metadata),
    2: one('spec', message(spec)),
    3: one('status', status),
  });
  const subjectAccess = review(
    { ...access, 3: one('user', text), 4: list('groups', text), 5: map('extra', extraValue), 6: one('uid', text) },
    accessStatus,
  );
  return {
    'authentication.k8s.io/v1/SelfSubjectReview': {
      1: one('metadata', metadata),
      2: one('status', message({ 1: one('userInfo', userInfo) })),
    },
    'authentication.k8s.io/v1/TokenReview': review(
      { 1: one('token', text), 2: list('audiences', text) },
      message({
        1: one('authenticated', flag),
        2: one('user', userInfo),
        3: one('error', text),
        4: list('audiences', text),
      }),
    ),
    'authentication.k8s.io/v1/TokenRequest': review(
      {
        1: list('audiences', text),
        3: one(
          'boundObjectRef',
          message({ 1: one('kind', text), 2: one('apiVersion', text), 3: one('name', text), 4: one('uid', text) }),
        ),
        4: one('expirationSeconds', whole),
      },
      message({
        1: one('token', text),
        2: one('expirationTimestamp', message({ 1: one('seconds', whole), 2: one('nanos', whole) })),
      }),
    ),
    'authorization.k8s.io/v1/SelfSubjectAccessReview': review(access, accessStatus),
    'authorization.k8s.io/v1/SubjectAccessReview': subjectAccess,
    'authorization.k8s.io/v1/LocalSubjectAccessReview': subjectAccess,
    'authorization.k8s.io/v1/SelfSubjectRulesReview': review(
      { 1: one('namespace', text) },
      message({
        1: list(
          'resourceRules',
          message({
            1: list('verbs', text),
            2: list('apiGroups', text),
            3: list('resources', text),
            4: list('resourceNames', text),
          }),
        ),
        2: list('nonResourceRules', message({ 1: list('verbs', text), 2: list('nonResourceURLs', text) })),
        3: one('incomplete', flag),
        4: one('evaluationError', text),
      }),
    ),
  };
}
