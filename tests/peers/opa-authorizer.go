// Serves envoy.service.auth.v3.Authorization with a Rego policy: opa-authorizer ADDRESS POLICY QUERY.
// The query is given the CheckRequest as its input; its value is a boolean, or an object with `allow`, and optionally
// `headers` (added to the request), `status` and `body` (of a denial).
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"net"
	"os"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	auth "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	types "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"github.com/open-policy-agent/opa/v1/rego"
	"google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/encoding/protojson"
)

type decision struct {
	Allow   bool              `json:"allow"`
	Headers map[string]string `json:"headers"`
	Status  int32             `json:"status"`
	Body    string            `json:"body"`
}

type authorizer struct {
	auth.UnimplementedAuthorizationServer
	query rego.PreparedEvalQuery
}

func (a *authorizer) Check(ctx context.Context, request *auth.CheckRequest) (*auth.CheckResponse, error) {
	found, err := a.decide(ctx, request)
	if err != nil {
		return nil, err
	}
	headers := []*core.HeaderValueOption{}
	for key, value := range found.Headers {
		headers = append(headers, &core.HeaderValueOption{Header: &core.HeaderValue{Key: key, Value: value}})
	}
	if found.Allow {
		ok := &auth.OkHttpResponse{Headers: headers}
		return &auth.CheckResponse{Status: &status.Status{}, HttpResponse: &auth.CheckResponse_OkResponse{OkResponse: ok}}, nil
	}
	denied := &auth.DeniedHttpResponse{Status: &types.HttpStatus{Code: types.StatusCode(found.Status)}, Headers: headers, Body: found.Body}
	return &auth.CheckResponse{Status: &status.Status{Code: 7}, HttpResponse: &auth.CheckResponse_DeniedResponse{DeniedResponse: denied}}, nil
}

func (a *authorizer) decide(ctx context.Context, request *auth.CheckRequest) (decision, error) {
	var found decision
	text, err := protojson.Marshal(request)
	if err != nil {
		return found, err
	}
	var input any
	if err := json.Unmarshal(text, &input); err != nil {
		return found, err
	}
	results, err := a.query.Eval(ctx, rego.EvalInput(input))
	if err != nil || len(results) == 0 {
		return found, err
	}
	value := results[0].Expressions[0].Value
	if allow, is := value.(bool); is {
		return decision{Allow: allow}, nil
	}
	again, err := json.Marshal(value)
	if err != nil {
		return found, err
	}
	return found, json.Unmarshal(again, &found)
}

func main() {
	query, err := rego.New(rego.Query(os.Args[3]), rego.Load([]string{os.Args[2]}, nil)).PrepareForEval(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	listener, err := net.Listen("tcp", os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	server := grpc.NewServer()
	auth.RegisterAuthorizationServer(server, &authorizer{query: query})
	fmt.Printf("listening on %s\n", listener.Addr())
	log.Fatal(server.Serve(listener))
}
