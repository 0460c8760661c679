# Included by the Makefile above. ENVTEST_K8S and KUBEBUILDER_ASSETS come from the environment.

# Here and now: in the recipe it would be the Makefile included last.
ENVTEST_DIR := $(dir $(lastword $(MAKEFILE_LIST)))

.PHONY: envtest
envtest: ## Build what the end-to-end tests run against; its last line is the folder.
	@$(ENVTEST_DIR)build.sh
