{{/* Labels of all objects; the first two select the pods. */}}
{{- define "turnpike.selector" -}}
app.kubernetes.io/name: turnpike
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "turnpike.labels" -}}
{{ include "turnpike.selector" . }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{- define "turnpike.metadata" -}}
name: {{ .Release.Name }}
namespace: {{ .Release.Namespace }}
labels:
  {{- include "turnpike.labels" . | nindent 2 }}
{{- end }}

{{- define "turnpike.secret" -}}
{{ .Values.secrets.existing | default .Release.Name }}
{{- end }}

{{/* The Secret of the certificate; empty: none. */}}
{{- define "turnpike.certificate" -}}
{{- if .Values.tls.existingSecret }}{{ .Values.tls.existingSecret }}
{{- else if .Values.tls.certManager.enabled }}{{ .Release.Name }}-tls{{ end }}
{{- end }}

{{/* turnpike.yml */}}
{{- define "turnpike.configuration" -}}
{{- toYaml .Values.configuration }}
drain-timeout: {{ .Values.drainSeconds }}s
{{- end }}

{{/* The pods of both modes. */}}
{{- define "turnpike.pod" -}}
metadata:
  annotations:
    checksum/configuration: {{ include "turnpike.configuration" . | sha256sum }}
  labels:
    {{- include "turnpike.selector" . | nindent 4 }}
spec:
  {{- if eq .Values.mode "host-network" }}
  hostNetwork: true
  dnsPolicy: ClusterFirstWithHostNet
  {{- with .Values.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- end }}
  {{- with .Values.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.image.pullSecrets }}
  imagePullSecrets:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  securityContext:
    runAsNonRoot: true
    runAsUser: 3478
    runAsGroup: 3478
    fsGroup: 3478
    seccompProfile:
      type: RuntimeDefault
  automountServiceAccountToken: false
  # The drain and a minute more: SIGTERM lets live calls end on their own.
  terminationGracePeriodSeconds: {{ add .Values.drainSeconds 60 }}
  containers:
    - name: turnpike
      image: {{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
      imagePullPolicy: {{ .Values.image.pullPolicy }}
      args: [serve, --config, /etc/turnpike/turnpike.yml]
      env:
        - name: POD_IP
          valueFrom:
            fieldRef:
              fieldPath: status.podIP
        - name: TURNPIKE_RELAY_ADDRESSES
          value: $(POD_IP)
        {{- with .Values.relay.advertise | default (eq .Values.mode "host-network" | ternary "auto" "") }}
        - name: TURNPIKE_RELAY_ADVERTISE
          value: {{ . | quote }}
        {{- end }}
        # The kubelet and Prometheus connect to the pod's address. Off loopback the endpoint has TLS and a token. On the
        # host's network this is the node's address: a firewall should block 8478 for other hosts.
        - name: TURNPIKE_ADMIN_LISTEN
          value: $(POD_IP):8478
        - name: TURNPIKE_AUTH_SECRETS
          valueFrom:
            secretKeyRef:
              name: {{ include "turnpike.secret" . }}
              key: auth-secret
        - name: TURNPIKE_ADMIN_TOKEN
          valueFrom:
            secretKeyRef:
              name: {{ include "turnpike.secret" . }}
              key: admin-token
        {{- if include "turnpike.certificate" . }}
        - name: TURNPIKE_TLS_CERTIFICATE
          value: /etc/turnpike-tls/tls.crt
        - name: TURNPIKE_TLS_PRIVATE_KEY
          value: /etc/turnpike-tls/tls.key
        {{- end }}
      securityContext:
        allowPrivilegeEscalation: false
        readOnlyRootFilesystem: true
        capabilities:
          drop: [ALL]
      livenessProbe:
        httpGet: { scheme: HTTPS, path: /healthz, port: admin }
        periodSeconds: 10
        failureThreshold: 6
      readinessProbe:
        httpGet: { scheme: HTTPS, path: /readyz, port: admin }
        periodSeconds: 5
      lifecycle:
        preStop:
          # Load balancers and DNS need some seconds to remove the pod; meanwhile it serves new calls.
          exec:
            command: [stunclient, ping, --count, "10", --interval, "1", "stun:127.0.0.1:3478"]
      resources:
        {{- toYaml .Values.resources | nindent 8 }}
      volumeMounts:
        - { name: configuration, mountPath: /etc/turnpike, readOnly: true }
        - { name: state, mountPath: /var/lib/turnpike }
        {{- if include "turnpike.certificate" . }}
        - { name: certificate, mountPath: /etc/turnpike-tls, readOnly: true }
        {{- end }}
      ports:
        - { name: stun-udp, containerPort: 3478, protocol: UDP }
        {{- if eq .Values.mode "host-network" }}
        - { name: stun-tcp, containerPort: 3478, protocol: TCP }
        - { name: turns-udp, containerPort: 5349, protocol: UDP }
        {{- end }}
        - { name: turns-tcp, containerPort: 5349, protocol: TCP }
        - { name: admin, containerPort: 8478, protocol: TCP }
  volumes:
    - name: configuration
      configMap: { name: {{ .Release.Name }} }
    - name: state
      emptyDir: {}
    {{- with include "turnpike.certificate" . }}
    - name: certificate
      secret: { secretName: {{ . }}, defaultMode: 0440 }
    {{- end }}
{{- end }}
