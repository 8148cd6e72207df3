/**
 * Why each of Istio's invalid cases is refused: `<path> <rule>` by the id of the case. Reviewed by hand: what the case is
 * about, where the CRD does not give the path; other violations are allowed.
 */
export const REASONS: Readonly<Record<string, string>> = {
  'TestValidateGateway/empty': 'spec.servers required',
  'TestValidateGateway/invalid port': 'spec.servers[0].port.number port',
  'TestValidateVirtualService/bad host': 'spec.hosts[0] virtualservice.host',
  'TestValidateVirtualService/no tcp or http routing': 'spec virtualservice.no-route',
  'TestValidateVirtualService/*/name for gateway': 'spec.gateways[0] gateway-name',
  'TestValidateVirtualService/wildcard for mesh gateway': 'spec.hosts[0] virtualservice.host',
  'TestValidateVirtualService/missing tls route': 'spec.tls[0].route required',
  'TestValidateVirtualService/set authority in rewrite and header':
    'spec.http[0].rewrite.authority virtualservice.authority',
  'TestValidateChainingVirtualService/root with delegate and destination in one route':
    'spec.http[0] virtualservice.actions',
  'TestValidateChainingVirtualService/delegate with no destination': 'spec.http[0] virtualservice.no-action',
  'TestValidateWorkloadEntry/invalid FQDN': 'spec.address workloadentry.address',
  'TestValidateWorkloadGroup/probe missing method': 'spec.probe workloadgroup.probe',
  'TestValidateDestinationRule/invalid traffic policy, top level':
    'spec.trafficPolicy.connectionPool connectionpool.empty',
  'TestValidateDestinationRule/InsecureSkipVerify is set true with tls mode simple, and the ca cert is specified by CaCertificates':
    'spec.trafficPolicy.tls.credentialName client-tls',
  'TestValidateDestinationRule/InsecureSkipVerify is set true with tls mode simple, and the ca cert is specified by CredentialName':
    'spec.trafficPolicy.tls.caCertificates client-tls',
  'TestValidateDestinationRule/InsecureSkipVerify is set true with tls mode simple, and the san is specified':
    'spec.trafficPolicy.tls.subjectAltNames client-tls',
  'TestValidateServiceEntries/bad hosts': 'spec.hosts[0] serviceentry.host',
  'TestValidateServiceEntries/discovery type DNS, non-FQDN host': 'spec.hosts serviceentry.resolution',
  'TestValidateServiceEntries/discovery type static, FQDN in endpoints':
    'spec.endpoints[0].address workloadentry.address',
  'TestValidateServiceEntries/unix socket, multiple service ports': 'spec.endpoints[0].address serviceentry.unix',
  'TestValidateServiceEntries/bad selector key': 'spec.workloadSelector.labels[""] selector',
  'TestValidateServiceEntries/discovery type DYNAMIC_DNS, endpoints set': 'spec.endpoints serviceentry.dynamic-dns',
  'TestValidateServiceEntries/discovery type DYNAMIC_DNS, IP address set': 'spec.addresses serviceentry.dynamic-dns',
  'TestValidateAuthorizationPolicy/custom-invalid-rule':
    'spec.rules[0].from[0].source.principals authorizationpolicy.custom',
  'TestValidateAuthorizationPolicy/provider-wrong-action': 'spec.provider authorizationpolicy.provider',
  'TestValidateAuthorizationPolicy/dry-run-invalid-action-custom':
    'metadata.annotations["istio.io/dry-run"] authorizationpolicy.dry-run',
  'TestValidateAuthorizationPolicy/deny-rules-nil': 'spec.rules required',
  'TestValidateAuthorizationPolicy/source-nil': 'spec.rules[0].from[0].source required',
  'TestValidateAuthorizationPolicy/source-empty': 'spec.rules[0].from[0].source authorizationpolicy.empty',
  'TestValidateAuthorizationPolicy/operation-nil': 'spec.rules[0].to[0].operation required',
  'TestValidateAuthorizationPolicy/Principals-empty':
    'spec.rules[0].from[0].source.principals[1] authorizationpolicy.empty',
  'TestValidateAuthorizationPolicy/NotNamespaces-empty':
    'spec.rules[0].from[0].source.notNamespaces[1] authorizationpolicy.empty',
  'TestValidateAuthorizationPolicy/IpBlocks-empty':
    'spec.rules[0].from[0].source.ipBlocks[1] authorizationpolicy.empty',
  'TestValidateAuthorizationPolicy/NotIpBlocks-empty':
    'spec.rules[0].from[0].source.notIpBlocks[1] authorizationpolicy.empty',
  'TestValidateAuthorizationPolicy/RemoteIpBlocks-empty':
    'spec.rules[0].from[0].source.remoteIpBlocks[1] authorizationpolicy.empty',
  'TestValidateAuthorizationPolicy/Hosts-empty': 'spec.rules[0].to[0].operation.hosts[1] authorizationpolicy.empty',
  'TestValidateAuthorizationPolicy/NotPorts-empty':
    'spec.rules[0].to[0].operation.notPorts[1] authorizationpolicy.empty',
  'TestValidateAuthorizationPolicy/Methods-empty': 'spec.rules[0].to[0].operation.methods[1] authorizationpolicy.empty',
  'TestValidateAuthorizationPolicy/NotMethods-empty':
    'spec.rules[0].to[0].operation.notMethods[1] authorizationpolicy.empty',
  'TestValidateAuthorizationPolicy/Paths-empty': 'spec.rules[0].to[0].operation.paths[1] authorizationpolicy.empty',
  'TestValidateAuthorizationPolicy/condition-value-missing': 'spec.rules[0].when[0] required',
  'TestValidateAuthorizationPolicy/condition-notValue-invalid':
    'spec.rules[0].when[0].notValues[0] authorizationpolicy.value',
  'TestValidateSidecar/bad egress host 2': 'spec.egress[0].hosts[0] sidecar.host',
  'TestValidateSidecar/multiple wildcard egress': 'spec.egress[0] sidecar.egress',
  'TestValidateSidecar/wildcard egress not in end': 'spec.egress[0] sidecar.egress',
  'TestValidateSidecar/UDS bind in inbound': 'spec.ingress[0].bind sidecar.bind',
  'TestValidateSidecar/invalid capture mode with uds bind': 'spec.egress[0].captureMode sidecar.bind',
  'TestValidateSidecar/duplicate UDS bind': 'spec.egress[1] sidecar.egress',
  'TestValidateSidecar/ingress with duplicate ports': 'spec.ingress[1].port.number sidecar.port',
  'TestValidateSidecar/ingress with duplicate ports and IPv6 endpoint': 'spec.ingress[1].port.number sidecar.port',
  'TestValidateSidecar/ingress with invalid default endpoint in IPv4':
    'spec.ingress[0].defaultEndpoint sidecar.endpoint',
  'TestValidateSidecar/ingress with invalid default endpoint in IPv6':
    'spec.ingress[0].defaultEndpoint sidecar.endpoint',
  'TestValidateSidecar/ingress with invalid default endpoint uds': 'spec.ingress[0].defaultEndpoint sidecar.endpoint',
  'TestValidateSidecar/empty': 'spec sidecar.empty',
  'TestValidateSidecar/sidecar egress proxy with RESGISTRY_ONLY(default)':
    'spec.outboundTrafficPolicy.egressProxy sidecar.egress-proxy',
  'TestValidateSidecar/sidecar egress proxy with ALLOW_ANY, service hostname invalid fqdn':
    'spec.outboundTrafficPolicy.egressProxy.host sidecar.egress-proxy',
  'TestValidateSidecar/sidecar egress proxy(without Port) with ALLOW_ANY':
    'spec.outboundTrafficPolicy.egressProxy.port.number port',
  'TestValidateSidecar/invalid partial wildcard': 'spec.egress[0].hosts[0] sidecar.host',
  'TestValidateSidecar/ingress tls mode set to ISTIO_AUTO_PASSTHROUGH in IPv4': 'spec.ingress[0].tls.mode sidecar.tls',
  'TestValidateSidecar/ingress tls httpRedirect is not supported in IPv6':
    'spec.ingress[0].tls.httpsRedirect sidecar.tls',
  'TestValidateSidecar/ingress tls SAN entries are not supported in IPv6':
    'spec.ingress[0].tls.subjectAltNames sidecar.tls',
  'TestValidateSidecar/ingress tls credentialName is not supported in IPv4':
    'spec.ingress[0].tls.credentialName sidecar.tls',
  'TestValidateSidecar/ingress tls credentialName is not supported in IPv6':
    'spec.ingress[0].tls.credentialName sidecar.tls',
  'TestValidateSidecar/ingress tls tlsCertificates is not supported in IPv4':
    'spec.ingress[0].tls.tlsCertificates sidecar.tls',
  'TestValidateSidecar/invalid port-level connection pool': 'spec.ingress[0].connectionPool connectionpool.empty',
  'TestValidateRequestAuthentication/bad targetRef - wrong group': 'spec.targetRef policy-target',
  'TestValidateRequestAuthentication/bad targetRef - wrong kind': 'spec.targetRef policy-target',
  'TestValidateRequestAuthentication/jwks error': 'spec.jwtRules[0].jwks requestauthentication.jwks',
  'TestValidateTelemetry/bad metrics operation': 'spec.metrics[0].overrides[0].tagOverrides.my-tag.value required',
  'TestValidateWasmPlugin/target-ref-wrong-group': 'spec.targetRef policy-target',
  'TestValidateWasmPlugin/target-ref-wrong-kind': 'spec.targetRef policy-target',
  'TestValidateEnvoyFilter/invalid applyTo': 'spec.configPatches[0].applyTo required',
  'TestValidateEnvoyFilter/invalid patch operation': 'spec.configPatches[0].patch.operation required',
  'TestValidateEnvoyFilter/listener with invalid match': 'spec.configPatches[0].match.cluster envoyfilter.match',
  'TestValidateEnvoyFilter/listener with invalid filter match':
    'spec.configPatches[0].match.listener.filterChain.filter.name required',
  'TestValidateEnvoyFilter/listener with sub filter match and invalid applyTo':
    'spec.configPatches[0].match.listener.filterChain.filter.subFilter envoyfilter.match',
  'TestValidateEnvoyFilter/invalid patch value': 'spec.configPatches[0].patch.value.name envoyfilter.value',
  'TestValidateEnvoyFilter/deprecated config':
    'spec.configPatches[0].patch.value.typed_config["@type"] envoyfilter.type',
  'TestValidateServer/invalid ~/name': 'spec.servers[0].hosts[0] gateway.host',
  'TestValidateServer/invalid domain': 'spec.servers[0].hosts[0] gateway.host',
  'TestValidateServer/invalid short name host': 'spec.servers[0].hosts[0] gateway.host',
  'TestValidateServer/invalid port': 'spec.servers[0].port.number port',
  'TestValidateServer/no tls on HTTPS': 'spec.servers[0].tls required',
  'TestValidateTlsOptions/simple no private key': 'spec.servers[0].tls.privateKey gateway.tls',
  'TestValidateTlsOptions/simple 2 certs with missing certificate':
    'spec.servers[0].tls.tlsCertificates[0].serverCertificate gateway.tls',
  'TestValidateTlsOptions/mutual sds with credential name and server cert': 'spec.servers[0].tls gateway.tls',
  'TestValidateTlsOptions/credential names and certificates': 'spec.servers[0].tls gateway.tls',
  'TestValidateTlsOptions/mutual no certs': 'spec.servers[0].tls.serverCertificate gateway.tls',
  'TestValidateTlsOptions/mutual no certs#2': 'spec.servers[0].tls.privateKey gateway.tls',
  'TestValidateTlsOptions/mutual no certs#3': 'spec.servers[0].tls.caCertificates gateway.tls',
  'TestValidateTlsOptions/mutual with both server cert and tls certs': 'spec.servers[0].tls gateway.tls',
  'TestValidateTlsOptions/mutual 2 certs with missing private key':
    'spec.servers[0].tls.tlsCertificates[0].privateKey gateway.tls',
  'TestValidateTlsOptions/istio_mutual with server cert': 'spec.servers[0].tls.serverCertificate gateway.tls',
  'TestValidateTlsOptions/istio_mutual with client bundle': 'spec.servers[0].tls.caCertificates gateway.tls',
  'TestValidateTlsOptions/istio_mutual with private key': 'spec.servers[0].tls.privateKey gateway.tls',
  'TestValidateTlsOptions/istio_mutual with credential name': 'spec.servers[0].tls.credentialName gateway.tls',
  'TestValidateTlsOptions/invalid cipher suites with invalid config': 'spec.servers[0].tls.privateKey gateway.tls',
  'TestValidateCORSPolicy/bad header': 'spec.http[0].corsPolicy.exposeHeaders[0] virtualservice.cors',
  'TestValidateCORSPolicy/empty matchType AllowOrigins':
    'spec.http[0].corsPolicy.allowOrigins[0].exact virtualservice.cors',
  'TestValidateHTTPStatus/0': 'spec.http[0].fault.abort.httpStatus http-status',
  'TestValidateHTTPStatus/601': 'spec.http[0].fault.abort.httpStatus http-status',
  'TestValidateHTTPFaultInjectionAbort/invalid low http status': 'spec.http[0].fault.abort.httpStatus http-status',
  'TestValidateHTTPFaultInjectionAbort/invalid fractional percent': 'spec.http[0].fault.abort.percentage.value percent',
  'TestValidateHTTPFaultInjectionAbort/grpc: invalid status':
    'spec.http[0].fault.abort.grpcStatus virtualservice.fault',
  'TestValidateHTTPFaultInjectionDelay/invalid percent': 'spec.http[0].fault.delay.percentage.value percent',
  'TestValidateHTTPRetry/invalid, retry policy configured but attempts set to zero':
    'spec.http[0].retries.attempts virtualservice.retries',
  'TestValidateHTTPRetry/invalid http status retryOn': 'spec.http[0].retries.retryOn virtualservice.retries',
  'TestValidateHTTPRewrite/no uri, uriRegexRewrite, or authority': 'spec.http[0].rewrite virtualservice.rewrite',
  'TestValidateUriRegexRewrite/uriRegexRewrite missing rewrite':
    'spec.http[0].rewrite.uriRegexRewrite.rewrite required',
  'TestValidateHTTPRedirect/too small redirect code': 'spec.http[0].redirect.redirectCode virtualservice.redirect',
  'TestValidateHTTPRedirect/uri and prefix_rewrite mutually exclusive': 'spec.http[0].redirect virtualservice.redirect',
  'TestValidateHTTPDirectResponse/status 600': 'spec.http[0].directResponse.status http-status',
  'TestValidateHTTPDirectResponse/with bytes body over 1mb': 'spec.http[0].directResponse.body virtualservice.body',
  'TestValidateHTTPRoute/empty': 'spec.http[0] virtualservice.no-action',
  'TestValidateHTTPRoute/conflicting redirect and route': 'spec.http[0] virtualservice.actions',
  'TestValidateHTTPRoute/empty header name - request set':
    'spec.http[0].route[0].headers.request.set[""] virtualservice.header',
  'TestValidateHTTPRoute/empty header name - response add':
    'spec.http[0].route[0].headers.response.add[""] virtualservice.header',
  'TestValidateHTTPRoute/empty header name - response set':
    'spec.http[0].route[0].headers.response.set[""] virtualservice.header',
  'TestValidateHTTPRoute/empty header name - response remove':
    'spec.http[0].route[0].headers.response.remove[0] virtualservice.header',
  'TestValidateHTTPRoute/empty prefix header match':
    'spec.http[0].match[0].headers.emptyprefix.prefix virtualservice.match',
  'TestValidateRootHTTPRoute/route and delegate conflict': 'spec.http[0] virtualservice.actions',
  'TestValidateRootHTTPRoute/empty prefix match in method': 'spec.http[0].match[0].method.prefix virtualservice.match',
  'TestValidateRootHTTPRoute/empty regex match in uri': 'spec.http[0].match[0].uri.regex virtualservice.match',
  'TestValidateRootHTTPRoute/empty prefix match in scheme': 'spec.http[0].match[0].scheme.prefix virtualservice.match',
  'TestValidateRootHTTPRoute/empty prefix header match':
    'spec.http[0].match[0].headers.header.prefix virtualservice.match',
  'TestValidateDelegateHTTPRoute/empty header name - request add':
    'spec.http[0].route[0].headers.request.add[""] virtualservice.header',
  'TestValidateDelegateHTTPRoute/empty header name - request remove':
    'spec.http[0].route[0].headers.request.remove[0] virtualservice.header',
  'TestValidateDelegateHTTPRoute/empty header name - response set':
    'spec.http[0].route[0].headers.response.set[""] virtualservice.header',
  'TestValidateDelegateHTTPRoute/delegate route with delegate': 'spec.http[0].delegate virtualservice.delegate',
  'TestValidateRouteDestination/bad wildcard': 'spec.tcp[0].route[0].destination.host destination.host',
  'TestValidateRouteDestination/bad fqdn': 'spec.tcp[0].route[0].destination.host destination.host',
  'TestValidateRouteDestination/weight < 0': 'spec.tcp[0].route[1].weight virtualservice.weight',
  'TestValidateTrafficPolicy/invalid traffic policy, panic threshold too low':
    'spec.trafficPolicy.outlierDetection.minHealthPercent percent',
  'TestValidateTrafficPolicy/invalid traffic policy, both upgrade and use client protocol set':
    'spec.trafficPolicy.connectionPool.http connectionpool',
  'TestValidateConnectionPool/invalid connection pool, bad max pending requests':
    'spec.trafficPolicy.connectionPool.http.http1MaxPendingRequests connectionpool',
  'TestValidateConnectionPool/invalid connection pool, bad max requests':
    'spec.trafficPolicy.connectionPool.http.http2MaxRequests connectionpool',
  'TestValidateConnectionPool/invalid connection pool, bad max retries':
    'spec.trafficPolicy.connectionPool.http.maxRetries connectionpool',
  'TestValidateConnectionPool/invalid connection pool, bad max concurrent streams':
    'spec.trafficPolicy.connectionPool.http.maxConcurrentStreams connectionpool',
  'TestValidateConnectionPool/invalid connection pool, http2 keepalive without interval':
    'spec.trafficPolicy.connectionPool.http.http2KeepAlive required',
  'TestValidateConnectionPool/invalid connection pool, bad http2 keepalive interval':
    'spec.trafficPolicy.connectionPool.http.http2KeepAlive.interval value',
  'TestValidateLoadBalancer/invalid load balancer with consistentHash load balancing, maglev not prime':
    'spec.trafficPolicy.loadBalancer.consistentHash.maglev.tableSize loadbalancer.maglev',
  'TestValidateOutlierDetection/invalid outlier detection, bad base ejection time':
    'spec.trafficPolicy.outlierDetection.baseEjectionTime value',
  'TestValidateOutlierDetection/invalid outlier detection, bad max ejection percent':
    'spec.trafficPolicy.outlierDetection.maxEjectionPercent percent',
  'TestValidateOutlierDetection/consecutive local origin errors is set but split local origin errors is not set':
    'spec.trafficPolicy.outlierDetection.consecutiveLocalOriginFailures outlierdetection',
  'TestValidateTLS/SIMPLE: CredentialName set with CACertficiates specified':
    'spec.trafficPolicy.tls.caCertificates client-tls',
  'TestValidateTLS/MUTUAL: CredentialName set with PrivateKey specified':
    'spec.trafficPolicy.tls.privateKey client-tls',
  'TestValidateTLS/MUTUAL: CredentialName set with CACRL specified': 'spec.trafficPolicy.tls.caCrl client-tls',
  'TestValidateTLS/MUTUAL: CredentialName not set with ClientCertificate specified and Key missing':
    'spec.trafficPolicy.tls.privateKey client-tls',
  'TestValidateLocalityLbSetting/invalid LocalityLoadBalancerSetting_Distribute total weight > 100':
    'spec.trafficPolicy.loadBalancer.localityLbSetting.distribute[0].to loadbalancer.locality',
  'TestValidateLocalityLbSetting/invalid LocalityLoadBalancerSetting_Distribute total weight < 100':
    'spec.trafficPolicy.loadBalancer.localityLbSetting.distribute[0].to loadbalancer.locality',
  ["TestValidateLocalityLbSetting/invalid failover src contain '*' wildcard"]:
    'spec.trafficPolicy.loadBalancer.localityLbSetting.failover[0] loadbalancer.locality',
  ["TestValidateLocalityLbSetting/invalid failover src contain '/' separator"]:
    'spec.trafficPolicy.loadBalancer.localityLbSetting.failover[0] loadbalancer.locality',
  ["TestValidateLocalityLbSetting/invalid failover dst contain '/' separator"]:
    'spec.trafficPolicy.loadBalancer.localityLbSetting.failover[0] loadbalancer.locality',
  'TestValidateZoneAwareLbSetting/failover same src and dst region':
    'spec.trafficPolicy.loadBalancer.zoneAwareLbSetting.failover[0] loadbalancer.locality',
  ["TestValidateZoneAwareLbSetting/failover dst has '/' (zone scope) is rejected"]:
    'spec.trafficPolicy.loadBalancer.zoneAwareLbSetting.failover[0] loadbalancer.locality',
  ["TestValidateZoneAwareLbSetting/failover src has '*' wildcard is rejected"]:
    'spec.trafficPolicy.loadBalancer.zoneAwareLbSetting.failover[0] loadbalancer.locality',
  'TestValidateZoneAwareLbSetting/failover and failoverPriority both set with topology region':
    'spec.trafficPolicy.loadBalancer.zoneAwareLbSetting.failoverPriority loadbalancer.locality',
  'TestValidateZoneAwareLbSetting/failoverPriority with region label is rejected':
    'spec.trafficPolicy.loadBalancer.zoneAwareLbSetting.failoverPriority loadbalancer.locality',
  'TestValidateHTTPHeaderValue#7': 'spec.http[0].headers.request.set.x-test virtualservice.header',
  'TestValidateHTTPHeaderName/::': 'spec.http[0].match[0].headers["::"] virtualservice.match',
  'Test_validateExportTo/. and same namespace in exportTo is not okay': 'spec.exportTo[1] export-to',
  'Test_validateExportTo/duplicate namespaces in exportTo is not okay': 'spec.exportTo[2] export-to',
  'Test_validateExportTo/duplicate none in service entry exportTo is not okay': 'spec.exportTo[1] export-to',
  'Test_validateExportTo/none and other namespaces cannot be combined in service entry exportTo':
    'spec.exportTo export-to',
  'Test_validateExportTo/destination rule with workloadselector cannot have exportTo (*)': 'spec.exportTo[0] export-to',
  'Test_validateExportTo/destination rule with workloadselector cannot have another ns in exportTo (.)':
    'spec.exportTo[0] export-to',
  'TestValidateWildcardDomain/bad wildcard#2': 'spec.host destinationrule.host',
  'TestValidateWildcardDomain/IP address': 'spec.host destinationrule.host',
  'TestValidateWildcardDomainForVirtualServiceBoundToGateway/empty': 'spec.hosts[0] virtualservice.host',
  'TestValidateWildcardDomainForVirtualServiceBoundToGateway/bad wildcard#2': 'spec.hosts[0] virtualservice.host',
};

/** Cases whose result holds for only one of schema and webhook, or that cannot be expressed in JSON. */
export const EXCUSED: Readonly<Record<string, string>> = {
  'TestValidateAuthorizationPolicy/from-empty': 'JSON lost the empty list `from` that the case is about',
  'TestValidateAuthorizationPolicy/to-empty': 'JSON lost the empty list `to` that the case is about',
  'TestValidatePeerAuthentication/empty port level mtls':
    'JSON lost the empty map `portLevelMtls` that the case is about',
  'TestValidateTlsOptions/simple more than 2 certs':
    'the CRD refuses more than two certificates before the webhook warns',
  'TestValidateHTTPRoute/match with nil element': 'the CRD refuses the null, which no API server stores',
  'TestValidateHTTPRoute/valid mirror percentage': 'the CRD refuses the null, which no API server stores',
  'TestValidateDelegateHTTPRoute/valid mirror percentage': 'the CRD refuses the null, which no API server stores',
};
